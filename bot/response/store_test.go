package response

import (
	"reflect"
	"testing"
)

// TestPorts_MethodLimit keeps the ports of the store small: a variant of a method is a
// query value or an argument. Every implementation has to provide all methods.
func TestPorts_MethodLimit(t *testing.T) {
	const limit = 52 // 4 of them release a restore from a backup, 2 read and write the log of keys and providers
	if n := reflect.TypeFor[Store]().NumMethod() + reflect.TypeFor[Tx]().NumMethod(); n > limit {
		t.Errorf("got %d methods, want at most %d", n, limit)
	}
}
