"""Drawing on arrays with Pillow and numpy; nothing here imports torch."""
