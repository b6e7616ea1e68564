//! Claims about the whole, on a real Kubernetes.
