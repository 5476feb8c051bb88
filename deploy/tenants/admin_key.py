"""The key that a tenant's operator and Prometheus show to its gateway, in a file of its own."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.errors import DeployError
from deploy.whole_file import write_file
from gateway.auth.key_store import KeyStore
from gateway.auth.keys import ADMIN, credential_of
from settings.config import Config

COMMENT = "the tenant's operator and its metrics"


def ensure_key(config: Config, file: Path) -> bool:
    """Make an admin's key and write it to a file for its owner alone; whether one was made.

    Nothing is made where the file has a key that the tenant's database knows and nobody has
    revoked. Raises DeployError for a file that others may read, or that cannot be written, and
    LibraryError where the database does not answer.
    """
    store = KeyStore(config.library_config())
    try:
        if _is_good(store, file):
            return False
        key, secret = store.create(None, ADMIN, COMMENT, None)
        try:
            write_file(file, f"{key.id}.{secret}\n", 0o600)
        except OSError as error:
            # Nobody has seen the secret.
            store.revoke(key.id)
            raise DeployError(f"{file}: cannot be written: {error.strerror}") from None
        return True
    finally:
        store.close()


def _is_good(store: KeyStore, file: Path) -> bool:
    try:
        if os.stat(file).st_mode & 0o077:
            raise DeployError(f"{file}: others may read this key; mend with: chmod 600 {file}")
        credential = credential_of(file.read_text(encoding="ascii").strip())
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    except OSError as error:
        raise DeployError(f"{file}: cannot be read: {error.strerror}") from None
    key = store.find(credential.key) if credential else None
    if key is None or credential is None or key.revoked is not None:
        return False
    return key.role == ADMIN and credential.fits(key)
