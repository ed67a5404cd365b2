//go:build tools

// Package tools pins the queue servers that the development stack runs: `setup/install` builds them from here.
//
// A module of our own is needed because the module of NSQ replaces one of its dependencies, and
// `go install module@version` refuses such modules. Blank imports keep both programs in go.mod and go.sum.
package tools

import (
	_ "github.com/nsqio/nsq/apps/nsqd"
	_ "github.com/nsqio/nsq/apps/nsqlookupd"
)
