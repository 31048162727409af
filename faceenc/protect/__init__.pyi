from .batch import find_ledger as find_ledger
from .batch import plan_photos as plan_photos
from .decoys import embed_face as embed_face
from .decoys import make_decoy as make_decoy
from .engine import Protection as Protection
from .engine import protect_faces as protect_faces
from .evidence.gathering import Evidence as Evidence
from .evidence.gathering import gather_evidence as gather_evidence
from .evidence.quality import face_change as face_change
from .evidence.quality import photo_change as photo_change
from .evidence.summary import summary_line as summary_line
from .options import Options as Options
from .photo import Encrypt as Encrypt
from .photo import encrypt_photo as encrypt_photo
from .safeguards.audit_log import audit as audit
from .safeguards.audit_log import log_dir as log_dir
from .safeguards.consent import (
    MAX_PHOTOS as MAX_PHOTOS,
)
from .safeguards.consent import (
    clean_name as clean_name,
)
from .safeguards.consent import (
    load_consent as load_consent,
)
from .safeguards.consent import (
    make_consent as make_consent,
)
from .safeguards.consent import (
    read_consent as read_consent,
)
from .safeguards.consent import (
    same_name as same_name,
)
from .safeguards.consent import (
    statement as statement,
)
from .safeguards.consent import (
    today_utc as today_utc,
)
from .safeguards.keyfile import (
    make_key as make_key,
)
from .safeguards.keyfile import (
    pixels_sha256 as pixels_sha256,
)
from .safeguards.keyfile import (
    read_key as read_key,
)
from .safeguards.keyfile import (
    restore as restore,
)
from .safeguards.sealing import (
    Cost as Cost,
)
from .safeguards.sealing import (
    check_sealed as check_sealed,
)
from .safeguards.sealing import (
    need_cryptography as need_cryptography,
)
from .safeguards.sealing import (
    seal as seal,
)
from .safeguards.sealing import (
    unseal as unseal,
)
from .safeguards.signing import (
    fingerprint as fingerprint,
)
from .safeguards.signing import (
    own_public_key as own_public_key,
)
from .safeguards.signing import (
    sign as sign,
)
from .safeguards.signing import (
    signature_holds as signature_holds,
)
from .settings import Settings as Settings
from .settings import current_settings as current_settings
from .settings import settings_of_0_1 as settings_of_0_1
from .strength import STRENGTHS as STRENGTHS
from .views import FaceViews as FaceViews
from .windows import face_window as face_window
