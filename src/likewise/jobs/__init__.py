"""Folders of images to folders of results, in runs that resume after an interruption.

images -> segment_folder | cosegment_folder | saliency_folder | parse_folder -> process_images -> out/

- out/<name>.mask.png, ...: one file for each image and format.
- out/coco.json, out/areas.csv: one file for all images.
- out/.likewise/: the settings and the finished images of the run.

Nothing here imports torch; the predictors are arguments.
"""
