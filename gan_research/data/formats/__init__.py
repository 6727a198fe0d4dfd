"""Formats of stored images, a module each; `detect.open_images` chooses by the file or folder."""
