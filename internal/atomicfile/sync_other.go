//go:build !unix

package atomicfile

// SyncDir does nothing: the system has no way to flush a folder.
func SyncDir(string) error { return nil }
