package bot

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store"
)

// control is the unix socket beside the database through which the command
// line talks to the running process. Who is on the other end is told by the
// operating system, not by the client.
type control struct {
	desk  *response.Desk
	store *store.Store
	edge  *intake.Edge
	zone  *time.Location
	now   func() time.Time
}

// ControlRequest is what the command line sends: the words after `tocsin incident`.
type ControlRequest struct {
	Command string `json:"command"`
	Key     string `json:"key,omitempty"` // idempotency key; made by the server if empty

	Filter   *store.DeliveryFilter `json:"filter,omitempty"`   // the stored deliveries that are meant
	Recorded []Recorded            `json:"recorded,omitempty"` // deliveries to be taken in
	AsNew    bool                  `json:"as_new,omitempty"`   // as new ones, that count anew
}

// ControlReply is what comes back. Exactly one of the pointers is set where the words
// asked for something; Help holds text where they asked for help.
type ControlReply struct {
	Help      string                       `json:"help,omitempty"`
	List      *[]incident.Summary          `json:"list,omitempty"`
	View      *incident.View               `json:"view,omitempty"`
	Result    *incident.Result             `json:"result,omitempty"`
	Alerts    *incident.AlertResult        `json:"alerts,omitempty"`
	Names     map[incident.PersonID]string `json:"names,omitempty"`
	Unchanged bool                         `json:"unchanged,omitempty"`
}

// maxAsk bounds what the command line may send at once: some deliveries, the last
// of them of as much as any source may take, and all of it longer in base64.
const maxAsk = 32 << 20

type peerKey struct{}

// listenControl opens the socket for its owner alone. A socket that a killed
// process left behind is replaced; one that somebody answers on, and what is no
// socket at all, is not.
func listenControl(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("inspect control socket: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return nil, fmt.Errorf("control_socket: %s is there and is no socket; name another path", path)
	default:
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if conn, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("control_socket: another process answers on %s", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("replace control socket: %w", err)
		}
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	return l, nil
}

func (c *control) server() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /incident", c.serve(c.incident))
	mux.HandleFunc("POST /verify", c.serve(c.verify))
	mux.HandleFunc("POST /rotate", c.serve(c.rotate))
	mux.HandleFunc("POST /retention", c.serve(c.retention))
	mux.HandleFunc("POST /reprocess", c.serve(c.reprocess))
	mux.HandleFunc("POST /replay-as-new", c.serve(c.replayAsNew))
	mux.HandleFunc("POST /deliver", c.serve(c.deliver))
	mux.HandleFunc("POST /export", c.export)
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, peer(conn))
	}}
}

// peer asks the kernel which user is on the other end of the socket.
func peer(conn net.Conn) incident.Identity {
	h := incident.Identity{Provider: incident.ProviderLocal}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return h
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return h
	}
	_ = raw.Control(func(fd uintptr) {
		cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		if err != nil {
			return
		}
		h.ID = strconv.Itoa(int(cred.Uid))
		if known, err := user.LookupId(h.ID); err == nil {
			h.ID = known.Username
		}
	})
	return h
}

// serve reads an Ask, and answers with JSON or an error as on every other wire.
func (c *control) serve(do func(context.Context, incident.Identity, ControlRequest) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var ask ControlRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAsk)).Decode(&ask); err != nil {
			writeError(w, http.StatusBadRequest, incident.Invalid("body", "expected a JSON object with words"))
			return
		}
		who, _ := r.Context().Value(peerKey{}).(incident.Identity)
		ask.Key = cmp.Or(ask.Key, "cli/"+rand.Text())
		reply, err := do(r.Context(), who, ask)
		var refused *incident.Error
		var open interface{ OutcomeUnknown() bool }
		switch {
		case errors.As(err, &refused):
			writeError(w, http.StatusConflict, refused)
		case errors.As(err, &open) && open.OutcomeUnknown():
			writeError(w, http.StatusServiceUnavailable, &incident.Error{Code: "outcome_unknown",
				Sentence: incident.Say("Tocsin cannot tell whether the command was saved; run it again with --key %s (a repeat is recorded only once)", ask.Key)})
		case err != nil:
			writeError(w, http.StatusServiceUnavailable, &incident.Error{Code: "unavailable", Sentence: incident.Say("not saved, try again: %s", err)})
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(reply)
		}
	}
}

func writeError(w http.ResponseWriter, status int, e *incident.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]*incident.Error{"error": e})
}

// incident does or answers what the words say, as the slash command does.
func (c *control) incident(ctx context.Context, who incident.Identity, ask ControlRequest) (any, error) {
	dir, err := c.desk.Directory(ctx)
	if err != nil {
		return nil, err
	}
	person, _ := dir.Resolve(who)
	words, err := incident.ParseCommandLine(ask.Command, incident.ParseContext{Who: person.ID, Directory: dir, Now: c.now(), Zone: c.zone})
	if err != nil {
		return nil, err
	}
	reply := ControlReply{Names: map[incident.PersonID]string{}}
	for _, p := range dir.People {
		reply.Names[p.ID] = p.Name
	}
	switch {
	case words.Query == incident.QueryHelp:
		reply.Help = helpText(words.Topic)
	case words.Query == incident.QueryList:
		list, err := c.desk.List(ctx, who, words.Filter)
		reply.List = &list
		return reply, err
	case words.AlertRequest != nil:
		words.AlertRequest.Key = ask.Key
		answer, err := c.desk.Alerts(ctx, who, *words.AlertRequest)
		reply.Alerts = &answer
		return reply, err
	case words.Query != "":
		view, err := c.desk.Show(ctx, who, words.Command.For, "command line: "+words.Query)
		reply.View = &view
		return reply, err
	case words.Form != "":
		return nil, incident.Invalid("arguments", "say the rest on the command line too:\n%s", helpText(string(words.Form)))
	default:
		cmd := words.Command
		cmd.By, cmd.Auth, cmd.Via, cmd.Key = who, "user of the operating system", incident.ViaCLI, ask.Key
		result, err := c.desk.Do(ctx, cmd)
		reply.Result = &result
		return reply, err
	}
	return reply, nil
}

// helpText shows one verb with its examples, or all of them in a line each.
func helpText(topic string) string {
	var b strings.Builder
	for _, v := range incident.VerbSpecs() {
		switch {
		case topic == "":
			fmt.Fprintf(&b, "%-10s %-44s %s\n", v.Name, v.Usage, v.Help)
		case v.Name == topic || slices.Contains(v.Aliases, topic):
			fmt.Fprintf(&b, "%s %s\n  %s\n", v.Name, v.Usage, v.Help)
			for _, e := range v.Examples {
				fmt.Fprintf(&b, "  tocsin incident %s\n", e)
			}
		}
	}
	return b.String()
}

func (c *control) verify(ctx context.Context, _ incident.Identity, _ ControlRequest) (any, error) {
	return c.store.Verify(ctx)
}

// Rotated says what `tocsin keys rotate` did.
type Rotated struct {
	Resealed int `json:"resealed"`
}

// rotate gives the keyset a new key and reseals everything; the word "prune"
// removes the old keys afterwards.
func (c *control) rotate(ctx context.Context, _ incident.Identity, ask ControlRequest) (any, error) {
	n, err := c.store.Rotate(ctx, ask.Command == "prune")
	return Rotated{n}, err
}

// Client talks to the control socket of a running bot.
type Client struct{ http *http.Client }

// NewClient makes a client for a socket. It connects when it is asked something.
func NewClient(path string) *Client {
	return &Client{&http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}}}
}

// Do asks for "incident", "verify", "rotate" and the like and decodes the answer
// into out. A refusal is an *incident.Error. A socket that nobody listens on is
// ErrNotRunning.
func (c *Client) Do(ctx context.Context, what string, ask ControlRequest, out any) error {
	res, err := c.post(ctx, what, ask)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	return json.NewDecoder(res.Body).Decode(out)
}

// post asks and returns an answer that is no refusal.
func (c *Client) post(ctx context.Context, what string, ask ControlRequest) (*http.Response, error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tocsin/"+what, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("ask the running bot: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	var refused struct {
		Error *incident.Error `json:"error"`
	}
	if err := json.NewDecoder(res.Body).Decode(&refused); err != nil || refused.Error == nil {
		return nil, fmt.Errorf("ask the running bot: status %d", res.StatusCode)
	}
	return nil, refused.Error
}

// ErrNotRunning means that no bot listens on the control socket.
var ErrNotRunning = errors.New("no bot is running on this control socket; start `tocsin serve` first")
