"""Images: files, folders and their sheets, DICOM, NIfTI, pages of TIFF, and arrays of them."""
