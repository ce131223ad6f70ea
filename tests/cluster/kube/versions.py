"""The programs a test cluster is made of, and an S3 server; each with the one version that is built and used."""

from dataclasses import dataclass

KUBERNETES = "v1.35.4"
"""1.35 is the last minor release that works with containerd 1.x, which is Debian 12's."""

GO = (1, 26)
"""The oldest Go that builds all of them."""

STAMP = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Program:
    """One program: where its source is published and how its version is stamped into it."""

    name: str
    module: str
    version: str
    package: str
    ldflags: str = ""
    asks_version: tuple[str, ...] = ("--version",)


def kubernetes(name: str) -> Program:
    """A program of the Kubernetes repository; without the stamp, Helm's and kubectl's version checks fail."""
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    stamps = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor, "gitTreeState": "archive"}
    ldflags = " ".join(f"-X {STAMP}.{key}={value}" for key, value in stamps.items())
    asks = ("version", "--client") if name == "kubectl" else ("--version",)
    return Program(name, "k8s.io/kubernetes", KUBERNETES, f"k8s.io/kubernetes/cmd/{name}", ldflags, asks)


HELM = "v3.22.0"
VERSITYGW = "v1.8.0"

PROGRAMS = {
    program.name: program
    for program in (
        Program("etcd", "go.etcd.io/etcd/server/v3", "v3.6.16", "go.etcd.io/etcd/server/v3"),
        kubernetes("kube-apiserver"),
        kubernetes("kube-controller-manager"),
        kubernetes("kubectl"),
        Program(
            "helm",
            "helm.sh/helm/v3",
            HELM,
            "helm.sh/helm/v3/cmd/helm",
            f"-X helm.sh/helm/v3/internal/version.version={HELM}",
            ("version", "--short"),
        ),
        kubernetes("kube-scheduler"),
        kubernetes("kubelet"),
        kubernetes("kube-proxy"),
        Program("coredns", "github.com/coredns/coredns", "v1.15.0", "github.com/coredns/coredns", "", ("-version",)),
        Program("pause", "", "v1", "."),
        Program(
            "versitygw",
            "github.com/versity/versitygw",
            VERSITYGW,
            "github.com/versity/versitygw/cmd/versitygw",
            f"-X main.Version={VERSITYGW}",
        ),
    )
}

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "helm")
NODE = (*CONTROL_PLANE, "kube-scheduler", "kubelet", "kube-proxy", "coredns", "pause")

PAUSE_SOURCE = """package main

import (
	"os"
	"os/signal"
	"syscall"
)

// Holds a pod's namespaces open until it is told to end.
func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
}
"""
