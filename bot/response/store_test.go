package response

import (
	"reflect"
	"testing"
)

// TestPorts_MethodLimit keeps the ports of the store small: a variant of a method is a
// query value or an argument. Every implementation has to provide all methods.
func TestPorts_MethodLimit(t *testing.T) {
	const limit = 48 // 4 of them release a restore from a backup
	if n := reflect.TypeFor[Store]().NumMethod() + reflect.TypeFor[Tx]().NumMethod(); n > limit {
		t.Errorf("got %d methods, want at most %d", n, limit)
	}
}
