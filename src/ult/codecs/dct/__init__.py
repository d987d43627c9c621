"""The block DCT of `image/dct`, in integer arithmetic."""
