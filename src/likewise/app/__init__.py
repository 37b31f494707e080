"""The app: a server on this machine and a page in the browser. `docs/app-api.md` is the contract between both."""
