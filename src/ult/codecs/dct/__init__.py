"""The block cosine transform of `image/dct`, in whole numbers."""
