"""A real three-node Kubernetes cluster on one machine, without Docker.

The control plane runs in the host's network; each node is a network namespace
with a containerd, a kubelet and a kube-proxy of its own. Read `cluster.py`
first, then whichever part it names.
"""
