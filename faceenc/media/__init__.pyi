from .copies import JPEG_BLOCK as JPEG_BLOCK
from .copies import VARIANTS as VARIANTS
from .copies import Variant as Variant
from .copies import copy_window as copy_window
from .copies import jpeg_copy as jpeg_copy
from .copies import vary as vary
from .drawing import (
    Colour as Colour,
)
from .drawing import (
    Mark as Mark,
)
from .drawing import (
    add_marks as add_marks,
)
from .drawing import (
    draw_marks as draw_marks,
)
from .drawing import (
    ink as ink,
)
from .drawing import (
    load_font as load_font,
)
from .photos.listing import list_photos as list_photos
from .photos.metadata import clean_exif as clean_exif
from .photos.metadata import clean_xmp as clean_xmp
from .photos.reading import (
    decode_photo as decode_photo,
)
from .photos.reading import (
    photo_format as photo_format,
)
from .photos.reading import (
    read_image as read_image,
)
from .photos.reading import (
    read_photo as read_photo,
)
from .photos.record import PHOTO_SUFFIXES as PHOTO_SUFFIXES
from .photos.record import SUFFIXES as SUFFIXES
from .photos.record import Photo as Photo
from .photos.record import PhotoFormat as PhotoFormat
from .photos.record import output_path as output_path
from .photos.writing import (
    check_format as check_format,
)
from .photos.writing import (
    encode_photo as encode_photo,
)
from .photos.writing import (
    save_photo as save_photo,
)
from .photos.writing import (
    write_png as write_png,
)
from .quality import psnr as psnr
from .quality import ssim as ssim
from .random_transforms import (
    PHOTO_TRANSFORMS as PHOTO_TRANSFORMS,
)
from .random_transforms import (
    Diversity as Diversity,
)
from .random_transforms import (
    RandomTransform as RandomTransform,
)
from .random_transforms import (
    coarsened as coarsened,
)
from .random_transforms import (
    dimmed as dimmed,
)
from .random_transforms import (
    posed as posed,
)
from .random_transforms import (
    recoloured as recoloured,
)
from .random_transforms import (
    shuffled as shuffled,
)
from .random_transforms import (
    through_jpeg as through_jpeg,
)
from .tensors import to_tensor as to_tensor
from .tensors import to_uint8 as to_uint8
from .transforms import (
    augment as augment,
)
from .transforms import (
    blur as blur,
)
from .transforms import (
    centred as centred,
)
from .transforms import (
    jpeg as jpeg,
)
from .transforms import (
    preload as preload,
)
from .transforms import (
    reduced as reduced,
)
from .transforms import (
    resize as resize,
)
from .video.cameras import Camera as Camera
from .video.encoders import USUAL as USUAL
from .video.encoders import ffmpeg as ffmpeg
from .video.encoders import has_h264 as has_h264
from .video.reading import Video as Video
from .video.reading import count_frames as count_frames
from .video.screens import ScreenWindow as ScreenWindow
from .video.screens import VirtualCamera as VirtualCamera
from .video.screens import check_display as check_display
from .video.writers import PngFolder as PngFolder
from .video.writers import VideoFile as VideoFile
from .video.writers import frames_to as frames_to
