//go:build tools

// Package tools pins the Go programs that check what is shipped: `setup/checks` builds them from here.
//
// Blank imports keep the programs in go.mod and go.sum, which holds the hash of every module that goes into them.
package tools

import (
	_ "github.com/rhysd/actionlint/cmd/actionlint"
	_ "helm.sh/helm/v4/cmd/helm"
	_ "sigs.k8s.io/kustomize/kustomize/v5"
)
