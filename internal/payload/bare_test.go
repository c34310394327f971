//go:build !release

package payload_test

const release = false
