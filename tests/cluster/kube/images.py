"""Container images without a registry: a base by debootstrap, both products by buildah from their Dockerfiles."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kube.build import cache
from kube.locks import exclusive

PRODUCTS = ("server", "operator")
PACKAGES = ("python3", "python3-pip", "ca-certificates")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host")
SURPLUS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/log")


@dataclass(frozen=True)
class Store:
    """buildah's storage, apart from the machine's own."""

    root: Path

    def run(self, *args: str) -> str:
        """Runs buildah; its errors go to our stderr."""
        argv = ["buildah", "--root", str(self.root / "root"), "--runroot", str(self.root / "run"), *args]
        env = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        return subprocess.run(argv, env=env, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()

    def has(self, image: str) -> bool:
        """Whether an image of that name is stored."""
        return image in self.run("images", "--format", "{{.Name}}:{{.Tag}}").split()


def reference(product: str) -> str:
    """The name under which a product's image is found on the node."""
    return f"localhost/postrider-{product}:test"


def archives(checkout: Path, into: Path) -> dict[str, Path]:
    """Builds both products from the checkout; a docker archive of each, ready to be imported."""
    store = Store(cache() / "images")
    found = {}
    with exclusive(cache() / "images.lock"):
        store.run("rm", "--all")  # of a build that was killed
        base = os.environ.get("POSTRIDER_BASE_IMAGE") or _base(store)
        for product in PRODUCTS:
            _product(store, product, base, checkout)
            found[product] = into / f"{product}.tar"
            name = reference(product)
            store.run("push", "-q", name, f"docker-archive:{found[product]}:{name}")
        store.run("rmi", "--prune", "--force")
    return found


def _product(store: Store, product: str, base: str, checkout: Path) -> None:
    """The real Dockerfile, on the given base; volumes bring certificates and a pip cache, and leave nothing behind."""
    downloads = cache() / "pip"
    downloads.mkdir(parents=True, exist_ok=True)
    settings = cache() / "pip.conf"
    settings.write_text(_pip_settings())
    arguments = (
        "build",
        "--quiet",
        "--isolation=chroot",
        "--network=host",
        "--layers",
        "--volume=/etc/ssl/certs:/etc/ssl/certs:ro",
        f"--volume={settings}:/etc/pip.conf:ro",
        f"--volume={downloads}:/root/.cache/pip:rw",
        f"--build-arg=BASE={base}",
        f"--file={checkout}/Dockerfile.{product}",
    )
    # the first stage gets a name too: else its layers are pruned, and the next build installs everything again
    store.run(*arguments, "--target=build", f"--tag=localhost/postrider-{product}-build:test", str(checkout))
    store.run(*arguments, f"--tag={reference(product)}", str(checkout))


def _pip_settings() -> str:
    """This machine's package index, and its certificates: an index may sit behind a private authority."""
    lines = ["[global]", "cert = /etc/ssl/certs/ca-certificates.crt", "root-user-action = ignore"]
    for name in PIP_SETTINGS:
        argv = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
        found = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
        found = os.environ.get(f"PIP_{name.upper().replace('-', '_')}", found)
        if found:
            lines.append(f"{name} = {found}")
    return "\n".join(lines) + "\n"


def _base(store: Store) -> str:
    """A small Debian of this machine's release with python3 and pip; made once."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    name = f"localhost/postrider-base:{release}"
    if store.has(name):
        return name
    print("making the base image (about a minute) ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="postrider-base-") as directory:
        tree = Path(directory) / "tree"
        argv = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", release, str(tree), _mirror()]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        for surplus in SURPLUS:
            shutil.rmtree(tree / surplus)
            (tree / surplus).mkdir()
        container = store.run("from", "scratch")
        try:
            store.run("add", "-q", container, str(tree), "/")
            store.run("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", "--cmd", "[]", container)
            store.run("commit", "-q", container, name)
        finally:
            store.run("rm", container)
    return name


def _mirror() -> str:
    """Where this machine's apt gets Debian from."""
    argv = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    plain = [uri for uri in found if "security" not in uri]
    if not plain:
        raise RuntimeError("apt knows no package index: run apt-get update, or name an image in POSTRIDER_BASE_IMAGE")
    return plain[0]
