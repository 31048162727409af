"""The server, a door: HTTP and one page over what `import faceenc` does, and the client that talks to it.

`settings` says what is allowed, `guards` lets requests in or not, `routes` answers them out of `jobs`, whose photos are
protected by workers that stay (`work`). Photos live in memory only.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
