// Every text of the page, in one place for translation.

const count = (number, one, many) => `${number.toLocaleString()} ${number === 1 ? one : many}`;
const percent = (share) => `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)}%`;
const duration = (seconds) =>
  seconds < 90 ? count(Math.max(1, Math.round(seconds)), "second", "seconds") : `${Math.round(seconds / 60)} minutes`;

export const texts = {
  percent,
  product: "likewise",
  tagline: "Show it one; it segments the rest.",

  actions: {
    open: "Open",
    openFolder: "Open folder",
    suggest: "Suggest",
    review: "Review",
    export: "Export",
    help: "Keys and help",
    theme: "Switch between light and dark",
    panel: "Show or hide the panel",
    close: "Close",
    dismiss: "Dismiss",
    save: "Save",
    back: "All images",
    undo: "Undo",
    redo: "Redo",
    zoomIn: "Zoom in",
    zoomOut: "Zoom out",
    fit: "Fit to the window",
    previous: "Previous image",
    next: "Next image",
    skip: "Next",
    accept: "Accept",
    reject: "Reject",
    absent: "Absent",
    absentHere: "Absent here",
    reset: "Reset",
    edit: "Edit",
    clear: "Clear",
    clearSelection: "Clear the selection",
    rescan: "Look for changes",
  },

  connection: {
    lost: "The server does not answer. Start it again with `likewise app`; this page then continues.",
    status: (status, path) => `The server answered ${status} for ${path}; reload the page, or look at its terminal.`,
    offline: "No connection to likewise.",
    offlineHint: "Start it again with `likewise app`. What you accepted is safe, and this page continues by itself.",
    online: "Connected again.",
    unauthorised: "This page needs the link that `likewise app` prints. Open that link.",
  },

  status: { new: "To do", accepted: "Accepted", edited: "Edited", absent: "Absent" },

  wall: {
    label: "Images",
    loading: "Loading",
    unreadable: "Unreadable",
    example: "Example",
    size: "Size of the tiles",
    selection: "Selected images",
    selected: (number) => `${count(number, "image", "images")} selected`,
    presence: (shown) => `presence ${shown}`,
    changed: (share) => `Changed by ${percent(share)} since the last example`,
    none: "No image matches.",
    noneHint: "Choose another filter, or clear the search.",
    noImages: "This folder has no images.",
    noImagesHint: "Drop images here, or open another folder.",
  },

  first: {
    title: "Show it one.",
    text: "Open an image and click on an object; likewise finds it in all others. With no object in mind, let it look for one that the images share.",
  },

  filters: {
    bar: "Sort and filter",
    label: "Filter",
    all: "All",
    new: "To do",
    present: "Found",
    changed: "Changed",
    unseen: "Unseen",
    accepted: "Accepted",
    edited: "Edited",
    absent: "Absent",
    examples: "Examples",
    unreadable: "Unreadable",
    hints: {
      new: "No decision yet",
      present: "A class is found or accepted",
      changed: "The mask changed with the last example",
      unseen: "Not opened yet",
      edited: "Masks that were drawn or corrected",
      examples: "The concept learns from these",
    },
    sort: "Sort by",
    descending: "Reverse the order",
    search: "Search names",
    class: "Class",
    allClasses: "All classes",
  },
  sorts: {
    name: "Name",
    review: "Review order",
    presence: "Presence",
    quality: "Expected quality",
    unlikely: "Unlikely area",
    changed: "Most changed",
    unseen: "Unseen first",
  },

  classes: {
    title: "Classes",
    label: "Class that marks are for",
    first: "object",
    firstColour: "#ee3377",
    none: "The first mark makes a class.",
    add: "Add",
    new: "New class",
    change: "Change the class",
    edit: (name) => `Change ${name}`,
    name: "Name",
    colour: "Colour",
    remove: "Remove",
    removeHint: "Removing a class turns its pixels into background.",
    counts: (images, examples) => (examples ? `${images.toLocaleString()} · ${count(examples, "ex.", "ex.")}` : "0"),
    countsHint: (images, examples) =>
      `Found in ${count(images, "image", "images")}, shown by ${count(examples, "example", "examples")}`,
  },

  work: {
    title: "Progress",
    summary: ({ all, accepted, edited, absent }) =>
      `${accepted + edited + absent} of ${count(all, "image", "images")} decided`,
  },

  progress: {
    features: ({ done, total }) => `Reading images: ${done.toLocaleString()} of ${total.toLocaleString()}`,
    learning: "Learning from the examples…",
    answers: ({ done, total }) => `Masks: ${done.toLocaleString()} of ${total.toLocaleString()}`,
    suggest: () => "Looking for what the images share",
    export: ({ done, total }) => `Export: ${done.toLocaleString()} of ${total.toLocaleString()}`,
    train: ({ done, total }) => `Training: ${done.toLocaleString()} of ${total.toLocaleString()}`,
    changed: (changed, mean) => `${count(changed, "mask", "masks")} changed, by ${percent(mean)} on average`,
    idle: "Nothing leaves this machine.",
    label: "Progress",
  },

  editor: {
    label: "Editor",
    canvas:
      "The image. Arrow keys move the pointer, Enter marks, Alt Enter marks what is not the object, Escape leaves a mark.",
    tools: "Tools",
    strip: "Images in order",
    place: (index, total) => `${index.toLocaleString()} / ${total.toLocaleString()}`,
    end: "This is the last image of this order.",
    loading: "The image is loading.",
    example: "Use as example",
    exampleHint: "Other images follow",
    noPixels: (name) => `${name}: the image cannot be read. Is its file still there?`,
  },
  tools: {
    click: "Click: this; right click or Alt: not this",
    box: "Box",
    paint: "Paint",
    erase: "Erase",
    lasso: "Lasso; Alt: take away",
    hand: "Move the view",
  },
  hints: {
    click: "Click on the object. Right click or Alt: not this.",
    box: "Drag a box around the object.",
    paint: "Paint over the object. Alt: erase. [ and ] change the brush.",
    erase: "Erase parts of the mask. [ and ] change the brush.",
    lasso: "Draw around the object. Alt: take away.",
    hand: "Drag to move the view, wheel or pinch to zoom.",
    objectFirst: "Click on the object first.",
  },
  view: {
    title: "View",
    style: "Style of the masks",
    fill: "Fill",
    outline: "Outline",
    opacity: "Opacity",
    brush: "Brush",
    area: (share) => `${percent(share)} of image`,
  },

  review: {
    rate: (decided, perMinute) =>
      perMinute ? `${decided} decided · ${perMinute} a minute` : decided ? `${decided} decided` : "",
    nothing: "Nothing is left to review here.",
  },

  notes: {
    accepted: (name) => `${name}: accepted`,
    saved: (name, isExample) => (isExample ? `${name}: saved as an example; the others follow` : `${name}: saved`),
    absent: (name) => `${name}: absent`,
    decided: (number) => `${count(number, "image", "images")} decided`,
    replaced: (number) =>
      `${count(number, "mask has", "masks have")} changed since shown; look at the new ${number === 1 ? "one" : "ones"}, then accept again`,
    undone: (label) => `Undone: ${label}`,
    redone: (label) => `Redone: ${label}`,
    noUndo: "Nothing to undo.",
    noRedo: "Nothing to redo.",
  },

  suggest: {
    title: "Suggest",
    running: "Looking for an object that the images share…",
    found: (number) =>
      `${count(number, "mask", "masks")} that the images share. Accepted ones become examples, and all images are answered.`,
    stop: "Stop",
    stopped: "Stopped.",
    none: "No shared object was found. Select images that show one and suggest again, or mark one yourself.",
    proposals: "Proposals",
    outsiders: "May not belong",
    rejected: "Rejected",
    again: "Suggest again",
  },

  objects: {
    title: "Objects",
    table: "Table",
    acceptedOnly: "Accepted masks only",
    none: "No object yet.",
    summary: ({ images, objects, area_mean: area }) =>
      `${count(objects, "object", "objects")} in ${count(images, "image", "images")}${area ? ` · mean area ${percent(area)}` : ""}`,
    columns: ["Image", "Class", "Objects", "Pixels", "Area"],
    rows: (shown, all) =>
      shown < all
        ? `The ${shown} largest of ${all.toLocaleString()} rows; export as table for all`
        : count(all, "row", "rows"),
    bin: (from, to, number) => `${percent(from)} to ${percent(to)}: ${number}`,
    histogram: (number) => `Histogram of the areas of ${count(number, "mask", "masks")}`,
  },

  train: {
    title: "A network of your own",
    start: "Train a network",
    stop: "Stop",
    resume: "Resume",
    adopt: "Use its answers",
    adoptHint: "Instead of the concept's",
    iterations: "Iterations",
    iterationsHint: "800 take about 20 minutes on two cores; more images deserve more",
    at: ({ iteration, iterations, seconds_left: left }) =>
      iteration
        ? `Iteration ${iteration.toLocaleString()} of ${iterations.toLocaleString()}${left === null ? "" : `, about ${duration(left)} left`}`
        : "Starting…",
    needs: ({ images, images_needed: needed, state, resumes, iteration }) =>
      images < needed
        ? `From ${needed} accepted images on; there are ${images}.`
        : state === "done"
          ? "Trained. Compare its masks, then use its answers or not."
          : resumes
            ? `Stopped at iteration ${iteration.toLocaleString()}. It resumes from its last checkpoint.`
            : state === "stopped"
              ? `Stopped, and the accepted images have changed since: training starts again, with ${images}.`
              : `${images} accepted images to learn from.`,
    compareAll: "Compare",
    compareTitle: "Concept and network",
    nothingToCompare: "All images are decided; there is nothing to compare.",
    renew: "Use the newer network",
    curve: (loss, score) =>
      `Loss ${loss[1].toPrecision(3)}${score ? `, mIoU ${score[1].toPrecision(3)}` : ""} at ${loss[0].toLocaleString()}`,
    compare: "Whose answer is shown",
    answers: { "": "Mask", concept: "Concept", network: "Network" },
  },

  settings: {
    title: "Settings",
    presence: "Presence needed for a mask",
    presenceHint: "Masks of less probable classes are empty",
    edges: "Refine outlines to image edges",
  },

  sources: {
    open: "Add examples",
    title: "Examples from files",
    annotations: "Annotation file or folder on this machine",
    annotationsHint: "COCO, YOLO, PASCAL VOC, labelme, CVAT, Label Studio; masks of these images become accepted examples.",
    read: "Read annotations",
    concept: "Concept file",
    addConcept: "Add concept",
    added: (images, unmatched) =>
      `${count(images, "example", "examples")} read${unmatched ? `; ${unmatched} of other images` : ""}`,
  },

  open: {
    title: "Open a folder of images",
    other: (name) => `${name}: open folder`,
    welcome: "Choose a folder of images on this machine, or drop images here.",
    folders: "Folders",
    roots: "Folders that may be opened",
    up: "Up",
    use: "Open this folder",
    noFolders: "No folders inside.",
    images: (number) => count(number, "image", "images"),
    adding: (index, total) => `Adding ${index} of ${total}`,
    added: (number) => `${count(number, "file", "files")} added`,
    drop: "Drop images, folders or a concept",
  },

  export: {
    title: "Export",
    formats: "Formats",
    which: "Images",
    accepted: (number) => `Decided (${number.toLocaleString()})`,
    all: (number) => `All (${number.toLocaleString()})`,
    to: "Target",
    zip: "Zip file",
    folder: "Folder",
    folderName: "masks",
    start: "Export",
    writing: "Writing…",
    download: "Download the zip",
    done: (images, failed) => `${count(images, "image", "images")} written${failed ? `, ${failed} failed` : ""}.`,
    noFormat: "No format is chosen; choose at least one.",
    command: "The same on the command line",
    commandHint: "Reproduces the result on another folder.",
    copy: "Copy",
    copied: "Copied.",
    concept: "Download the concept",
  },
  formats: {
    mask: ["Masks", "PNG, 0 and 255 (or labels)"],
    labels: ["Labels", "Palette PNG, one value a class"],
    instance: ["Object ids", "16-bit PNG, one value an object"],
    table: ["Table of objects", "CSV: area and middle of each, and counts"],
    probability: ["Probabilities", "16-bit PNG"],
    overlay: ["Overlays", "The image with its mask"],
    cutout: ["Cutouts", "PNG with transparency"],
    scores: ["Scores", "CSV: presence and quality"],
    areas: ["Table of areas", "CSV, a row for each class in each image"],
    coco: ["COCO", "JSON with run-length masks"],
    yolo: ["YOLO", "Segmentation labels"],
    voc: ["PASCAL VOC", "Folders of label PNGs"],
    labelme: ["labelme", "JSON for each image"],
    cvat: ["CVAT", "XML"],
    "label-studio": ["Label Studio", "JSON"],
    geojson: ["GeoJSON", "Polygons"],
  },

  help: {
    title: "Keys",
    groups: [
      [
        "Everywhere",
        [
          ["?", "This help"],
          ["Ctrl Z", "Undo"],
          ["Ctrl Shift Z", "Redo"],
          ["1 – 9", "Choose a class"],
          ["O", "Fill or outline"],
          ["R", "Review"],
          ["S", "Suggest"],
          ["Esc", "Back"],
        ],
      ],
      [
        "All images",
        [
          ["← → ↑ ↓", "Move"],
          ["Enter", "Open"],
          ["Space", "Select"],
          ["Shift click", "Select up to here"],
          ["A", "Accept"],
          ["X", "Absent"],
          ["/", "Search"],
        ],
      ],
      [
        "Editor",
        [
          ["C B P E L H", "Click, box, paint, erase, lasso, move"],
          ["Alt", "Not this"],
          ["[ ]", "Size of the brush"],
          ["Delete", "Clear the class"],
          ["Space", "Move the view while held"],
          ["+ − 0", "Zoom in, out, fit"],
          ["M", "Hide the mask while held"],
          ["U", "Use as example"],
        ],
      ],
      [
        "Editor and review",
        [
          ["A", "Accept, next"],
          ["X", "Absent here, next"],
          ["→ N", "Next"],
          ["← Shift N", "Previous"],
          ["E", "Edit (in the review)"],
          ["Tab", "To the image, where arrows and Enter mark"],
        ],
      ],
    ],
  },
};
