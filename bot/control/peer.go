package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"tocsin/bot/incident"
)

// peer is the process at the other end of the control socket, as the kernel
// identifies it. A client cannot claim another user.
type peer struct {
	// identity is the local user. Its ID is empty if the user id has no name or
	// belongs to nobody in particular.
	identity incident.Identity
	uid      int // -1 if the kernel does not report a user
}

type peerKey struct{}

// peerOf returns the peer of a connection that the server put into the context.
func peerOf(ctx context.Context) peer {
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return peer{identity: incident.Identity{Provider: incident.ProviderLocal}, uid: -1}
	}
	return p
}

// readPeer returns the user of a connection when it connected, by SO_PEERCRED.
func readPeer(conn net.Conn) peer {
	p := peer{identity: incident.Identity{Provider: incident.ProviderLocal}, uid: -1}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return p
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return p
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			p.uid = int(cred.Uid)
		}
	})
	p.identity.ID = localUser(p.uid)
	return p
}

// CurrentUser returns the identity of the user that runs this process. Its ID is empty as
// on the socket.
func CurrentUser() incident.Identity {
	return incident.Identity{Provider: incident.ProviderLocal, ID: localUser(os.Geteuid())}
}

// localUser returns the name of the user that a user id speaks for, or "". Ids
// that several programs or people share speak for nobody. An id without a name
// speaks under its number: in a container, users of the host have no names.
func localUser(uid int) string {
	if uid < 0 || isShared(uid) {
		return ""
	}
	number := strconv.Itoa(uid)
	known, err := user.LookupId(number)
	switch {
	case err == nil && isNumber(known.Username):
		return "" // the name could be the number of another user
	case err == nil:
		return known.Username
	case uid == os.Geteuid():
		return "" // the user of a container without names, which runs the bot
	}
	return number
}

// isShared reports whether a user id is not one person: 65532 runs programs in
// distroless containers, 65534 is nobody, and the kernel shows its overflow id
// for every user that a container does not map.
func isShared(uid int) bool {
	if uid >= 65532 && uid <= 65535 || uid == int(^uint32(0)) {
		return true
	}
	overflow, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	return err == nil && strings.TrimSpace(string(overflow)) == strconv.Itoa(uid)
}

var numberPattern = regexp.MustCompile(`^[0-9]+$`)

func isNumber(s string) bool { return numberPattern.MatchString(s) }

// Administrators returns the local users who may operate the instance: the
// configured ones, or the user that runs the bot.
func Administrators(configured []string) []string {
	if len(configured) > 0 {
		return configured
	}
	if name := localUser(os.Geteuid()); name != "" {
		return []string{name}
	}
	return nil
}

// administers reports whether a peer may operate the instance. Without a
// configured administrator, this is the user that runs the bot, by user id.
func administers(configured []string, p peer) bool {
	if len(configured) == 0 {
		return p.uid >= 0 && p.uid == os.Geteuid()
	}
	return p.identity.ID != "" && slices.Contains(configured, p.identity.ID)
}

// CheckUser returns an error if a local user does not identify one person.
func CheckUser(name string) error {
	if uid, err := strconv.Atoi(name); err == nil && (isShared(uid) || uid < 0) {
		return errors.New("is a user id that several people share. Write the name of a user")
	}
	if name == "" || strings.TrimSpace(name) != name {
		return errors.New("is not a user name. Write the name of a user on this machine")
	}
	return nil
}

// socketGroup returns the id of a group by name or number.
func socketGroup(name string) (int, error) {
	if isNumber(name) {
		gid, err := strconv.ParseUint(name, 10, 31)
		if err != nil {
			return 0, fmt.Errorf("control_socket_group: %q is not the number of a group. Write the name of a group", name)
		}
		return int(gid), nil
	}
	group, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("control_socket_group: there is no group %q on this machine. Create it, or write another name or number", name)
	}
	return strconv.Atoi(group.Gid)
}

// openToGroup gives the members of a group access to the socket at path.
func openToGroup(path, name string) error {
	gid, err := socketGroup(name)
	if err != nil {
		return err
	}
	if err := os.Chown(path, -1, gid); err != nil {
		return fmt.Errorf("control_socket_group: this process is not a member of the group %s. Add its user to the group, or choose another group", name)
	}
	if err := os.Chmod(path, 0o660); err != nil { //nolint:gosec // the group is configured to use the socket
		return fmt.Errorf("open control socket to group %s: %w", name, err)
	}
	return nil
}
