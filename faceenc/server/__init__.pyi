from .app import build_app as build_app
from .app import serve as serve
from .client import Client as Client
from .client import EncryptRemotely as EncryptRemotely
from .client import Sent as Sent
from .client import ServerError as ServerError
from .settings import ServerSettings as ServerSettings
from .settings import read_tokens as read_tokens
