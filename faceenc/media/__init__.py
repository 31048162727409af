"""Media: pictures and videos in and out, and what may be done to a picture.

Offers `read_photo`, `encode_photo` and `save_photo` (`photos/`), `Video` and its writers (`video/`), the step between pixels
and tensors, transforms (plain, differentiable, random), copies as senders make them, PSNR and SSIM, what people see of
a change (`visibility/`), boxes with labels.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
