package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
)

// access is who may use an operation of the control socket. The zero value lets
// nobody in, so an operation that declares nothing is refused.
type access int

const (
	// accessEverybody lets every user in who can connect. The operation itself
	// decides, as it does for Slack: the lifecycle table and the restriction.
	accessEverybody access = iota + 1
	// accessAdministrators lets the administrators of the instance in, and writes
	// every use and every refusal to the audit log.
	accessAdministrators
)

// operation is an operation of the control socket. Either do or stream is set.
type operation struct {
	access  access
	command string // of tocsin, for administrators
	maxBody int64
	do      func(*Server, context.Context, incident.Identity, Request) (any, error)
	stream  func(*Server, http.ResponseWriter, *http.Request, incident.Identity, Request)
}

// operations are all operations of the control socket by name. The server serves
// only these.
var operations = map[string]operation{
	"incident":        {access: accessEverybody, maxBody: maxCommandRequest, do: (*Server).incident},
	"test-page":       {access: accessEverybody, maxBody: maxCommandRequest, do: (*Server).testPage},
	"verify":          {access: accessAdministrators, command: "verify", maxBody: maxCommandRequest, do: (*Server).verify},
	"rotate":          {access: accessAdministrators, command: "keys rotate", maxBody: maxCommandRequest, do: (*Server).rotate},
	"effects":         {access: accessAdministrators, command: "effects", maxBody: maxCommandRequest, do: (*Server).effects},
	"effects-retry":   {access: accessAdministrators, command: "effects retry", maxBody: maxCommandRequest, do: (*Server).retryEffects},
	"effects-drop":    {access: accessAdministrators, command: "effects drop", maxBody: maxCommandRequest, do: (*Server).dropEffect},
	"restore":         {access: accessAdministrators, command: "backup release", maxBody: maxCommandRequest, do: (*Server).restoreOverview},
	"release":         {access: accessAdministrators, command: "backup release", maxBody: maxCommandRequest, do: (*Server).releaseRestore},
	"retention":       {access: accessAdministrators, command: "retention", maxBody: maxCommandRequest, do: (*Server).retention},
	"backup-now":      {access: accessAdministrators, command: "backup now", maxBody: maxCommandRequest, do: (*Server).backupNow},
	"reload":          {access: accessAdministrators, command: "reload", maxBody: maxCommandRequest, do: (*Server).reloadConfig},
	"reload-status":   {access: accessAdministrators, command: "reload --status", maxBody: maxCommandRequest, do: (*Server).reloadStatus},
	"audit-list":      {access: accessAdministrators, command: "audit list", maxBody: maxCommandRequest, do: (*Server).auditList},
	"audit-prove":     {access: accessAdministrators, command: "audit prove", maxBody: maxCommandRequest, stream: (*Server).auditExport},
	"audit-export":    {access: accessAdministrators, command: "audit export", maxBody: maxCommandRequest, stream: (*Server).auditExport},
	"sessions":        {access: accessAdministrators, command: "sessions list", maxBody: maxCommandRequest, do: (*Server).listSessions},
	"sessions-end":    {access: accessAdministrators, command: "sessions end", maxBody: maxCommandRequest, do: (*Server).endSessions},
	"login-link":      {access: accessAdministrators, command: "login-link", maxBody: maxCommandRequest, do: (*Server).loginLink},
	"sources":         {access: accessAdministrators, command: "sources", maxBody: maxCommandRequest, do: (*Server).listSources},
	"reprocess":       {access: accessAdministrators, command: "replay --since", maxBody: maxCommandRequest, do: (*Server).reprocess},
	"replay-as-new":   {access: accessAdministrators, command: "replay --as-new", maxBody: maxCommandRequest, do: (*Server).replayAsNew},
	"deliver":         {access: accessAdministrators, command: "replay", maxBody: maxControlRequest, do: (*Server).deliver},
	"export":          {access: accessAdministrators, command: "replay --out", maxBody: maxCommandRequest, stream: (*Server).export},
	"passkeys":        {access: accessAdministrators, command: "passkeys list", maxBody: maxCommandRequest, do: (*Server).listPasskeys},
	"passkeys-roster": {access: accessEverybody, maxBody: maxCommandRequest, do: (*Server).passkeyRoster},
	"passkeys-code":   {access: accessAdministrators, command: "passkeys code", maxBody: maxCommandRequest, do: (*Server).issueCode},
	"passkeys-vouch":  {access: accessEverybody, maxBody: maxCommandRequest, do: (*Server).vouch},
	"passkeys-revoke": {access: accessAdministrators, command: "passkeys revoke", maxBody: maxCommandRequest, do: (*Server).revokePasskey},
	"pack":            {access: accessEverybody, maxBody: maxCommandRequest, stream: (*Server).pack},
}

// incident is the operation of [Server.Incident].
func (c *Server) incident(ctx context.Context, who incident.Identity, ask Request) (any, error) {
	return c.Incident(ctx, who, ask)
}

// backupNow is the operation of `tocsin backup now`.
func (c *Server) backupNow(ctx context.Context, _ incident.Identity, _ Request) (any, error) {
	return c.Backup(ctx)
}

// TestPage is who acknowledged a test page, or empty.
type TestPage struct {
	By string `json:"by,omitempty"`
}

// testPageAge is how long before the question an acknowledgement can have arrived.
const testPageAge = time.Hour

// testPage is the operation of `tocsin doctor --page`, which asks it again and again.
// It tells only who acknowledged the page with the code of the request, so it is open to
// everybody and writes nothing to the audit log.
func (c *Server) testPage(ctx context.Context, _ incident.Identity, ask Request) (any, error) {
	if ask.Code == "" {
		return nil, incident.Invalid("code", "no code of a test page. Use the tocsin command of the same version")
	}
	by, err := c.TestAcknowledged(ctx, ask.Code, c.Clock().Add(-testPageAge))
	return TestPage{By: by}, err
}

// restoreOverview and releaseRestore are the operations of `tocsin backup release`.
func (c *Server) restoreOverview(ctx context.Context, _ incident.Identity, _ Request) (any, error) {
	return c.Desk().RestoreOverview(ctx)
}

func (c *Server) releaseRestore(ctx context.Context, who incident.Identity, ask Request) (any, error) {
	return c.Desk().ReleaseRestore(ctx, who, ask.Reason)
}

const (
	// maxControlRequest is the maximum size of a request in bytes. It has room for
	// a batch of deliveries that ends with one of the maximum size, in base64.
	maxControlRequest = 32 << 20
	// maxCommandRequest is the maximum size of a request without deliveries.
	maxCommandRequest = 1 << 20
)

// HTTP returns the server of the socket.
func (c *Server) HTTP() *http.Server {
	mux := http.NewServeMux()
	for name, op := range operations {
		mux.HandleFunc("POST /"+name, c.serve(name, op))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		intake.WriteError(w, http.StatusNotFound, incident.Unknown("operation", "unknown operation %s. Use the tocsin command of the same version", strings.TrimPrefix(r.URL.Path, "/")))
	})
	return &http.Server{Handler: withDeadlines(mux, controlReadTimeout, controlWriteTimeout), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: controlReadTimeout, ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, readPeer(conn))
	}}
}

// serve returns the handler of an operation. It checks the user before it reads
// the request.
func (c *Server) serve(name string, op operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := peerOf(r.Context())
		if err := c.authorize(r.Context(), name, op, p); err != nil {
			writeControlError(w, err, "")
			return
		}
		var ask Request
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, op.maxBody)).Decode(&ask); err != nil {
			intake.WriteError(w, http.StatusBadRequest, incident.Invalid("body", "the request is not a JSON object with a command. Use the tocsin command of the same version"))
			return
		}
		ask.Key = cmp.Or(ask.Key, "cli/"+rand.Text())
		if op.access == accessAdministrators {
			if err := c.Desk().AuditOperation(r.Context(), p.identity, name, ask.Reason, true); err != nil {
				writeControlError(w, err, ask.Key)
				return
			}
		}
		if op.stream != nil {
			op.stream(c, w, r, p.identity, ask)
			return
		}
		reply, err := op.do(c, r.Context(), p.identity, ask)
		if err != nil {
			writeControlError(w, err, ask.Key)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(reply)
	}
}

// authorize returns an error unless a peer may use an operation. It writes the
// refusal to the audit log.
func (c *Server) authorize(ctx context.Context, name string, op operation, p peer) error {
	switch {
	case op.access == accessEverybody:
		return nil
	case op.access == accessAdministrators && administers(c.Administrators(), p):
		return nil
	}
	if err := c.Desk().AuditOperation(ctx, p.identity, name, fmt.Sprintf("refused to user id %d", p.uid), false); err != nil {
		return err
	}
	who := p.identity.ID
	if who == "" {
		who = fmt.Sprintf("user id %d", p.uid)
	}
	return incident.Forbidden("only administrators may use tocsin %s, and %s is not one of them. Ask one of them, or ask to be added under administrators", op.command, who)
}

// writeControlError writes an error of an operation. key is the idempotency key
// of the request.
func writeControlError(w http.ResponseWriter, err error, key string) {
	var rejected *incident.Error
	var unknown interface{ OutcomeUnknown() bool }
	switch {
	case errors.As(err, &rejected):
		intake.WriteError(w, http.StatusConflict, rejected)
	case errors.As(err, &unknown) && unknown.OutcomeUnknown() && key != "":
		intake.WriteError(w, http.StatusServiceUnavailable, &incident.Error{Code: "outcome_unknown",
			Sentence: incident.Say("Tocsin does not know whether the command was saved. Run it again with --key %s (a repeat is recorded only once)", key)})
	case incident.IsUnavailable(err) && key != "":
		intake.WriteError(w, http.StatusServiceUnavailable, &incident.Error{Code: "unavailable", Sentence: incident.Say("the database of Tocsin does not answer, and nothing was recorded. Run the command again in a minute")})
	default:
		intake.WriteError(w, http.StatusServiceUnavailable, &incident.Error{Code: "unavailable", Sentence: incident.Say("not saved: %s. Run the command again", err)})
	}
}
