"""The napari plugin: a reader, a widget that finds nuclei, one that saves them, writers and sample images.

Everything that computes is a plain function of arrays and layer data, tested without a viewer; `find_widget`,
`save_widget` and `viewing` alone know one. ``napari.yaml`` tells napari what there is.
"""
