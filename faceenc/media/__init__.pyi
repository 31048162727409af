from .augmentation import augment as augment
from .augmentation import centred as centred
from .copies import VARIANTS as VARIANTS
from .copies import Variant as Variant
from .copies import copy_window as copy_window
from .copies import vary as vary
from .diversity import Diversity as Diversity
from .diversity import coarsened as coarsened
from .diversity import dimmed as dimmed
from .diversity import posed as posed
from .diversity import recoloured as recoloured
from .diversity import shuffled as shuffled
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
from .photos.reading import decode_photo as decode_photo
from .photos.reading import photo_format as photo_format
from .photos.reading import read_image as read_image
from .photos.reading import read_photo as read_photo
from .photos.record import PHOTO_SUFFIXES as PHOTO_SUFFIXES
from .photos.record import READ_SUFFIXES as READ_SUFFIXES
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
from .tensors import to_tensor as to_tensor
from .tensors import to_uint8 as to_uint8
from .transforms import JPEG_BLOCK as JPEG_BLOCK
from .transforms import PHOTO_TRANSFORMS as PHOTO_TRANSFORMS
from .transforms import BitDepth as BitDepth
from .transforms import Blur as Blur
from .transforms import Crop as Crop
from .transforms import Jpeg as Jpeg
from .transforms import RandomCrop as RandomCrop
from .transforms import RandomJpeg as RandomJpeg
from .transforms import RandomTransform as RandomTransform
from .transforms import Resize as Resize
from .transforms import Transform as Transform
from .transforms import preload as preload
from .transforms import resize as resize
from .transforms import straight_through as straight_through
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
