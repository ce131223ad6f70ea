"""containerd for one node: its settings, and images put into it without a registry."""

import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

PAUSE = "localhost/pause:1"
UNUSED = ", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in ("zfs", "btrfs", "aufs", "devmapper"))

SETTINGS = """version = 2
root = "{path}/containerd"
state = "{path}/containerd-state"
disabled_plugins = [{unused}]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{path}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


@dataclass(frozen=True)
class Containerd:
    """One containerd, all of whose files lie below a run's directory."""

    path: Path
    pod_net: str

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.path / "containerd.sock"

    def configure(self) -> list[str]:
        """Writes its settings and the pods' network; its command line."""
        settings = self.path / "containerd.toml"
        settings.write_text(SETTINGS.format(path=self.path, unused=UNUSED, socket=self.socket, pause=PAUSE))
        (self.path / "cni").mkdir()
        # leases below the run's directory: else addresses leak from run to run
        ipam = {
            "type": "host-local",
            "dataDir": str(self.path / "ipam"),
            "ranges": [[{"subnet": self.pod_net}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": ipam,
        }
        network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}
        (self.path / "cni/10-pods.conflist").write_text(json.dumps(network))
        return ["--config", str(settings)]

    def answers(self) -> bool:
        """Whether it is up."""
        done = subprocess.run(["ctr", "-a", self.socket, "version"], capture_output=True, check=False)
        return done.returncode == 0

    def load(self, archive: Path) -> None:
        """Imports a docker archive where the kubelet finds it."""
        argv = ["ctr", "-a", str(self.socket), "-n", "k8s.io", "images", "import", str(archive)]
        subprocess.run(argv, check=True, capture_output=True)

    def load_program(self, image: str, program: Path) -> None:
        """Imports an image of one static program, made without any builder."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tree:
            tree.add(program, arcname="entry")
        content = layer.getvalue()
        layers = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]}
        config = {"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/entry"]}, "rootfs": layers}
        manifest = [{"Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"]}]
        archive = self.path / "program.tar"
        with tarfile.open(archive, "w") as tar:
            for name, data in (
                ("layer.tar", content),
                ("config.json", json.dumps(config).encode()),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        self.load(archive)
