"""The routes of the API, one module for each part of docs/app-api.md."""
