package chat

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// obj is a JSON object on the wire.
type obj = map[string]any

// method is one Web API method. scopes lists those of which one must be granted; the app-level token is for appToken
// methods alone.
type method struct {
	tier     tier
	appToken bool
	scopes   []string
	run      func(*call) (obj, error)
}

// call is one API request while it is handled; run functions hold the workspace's lock.
type call struct {
	w       *Workspace
	method  string
	args    map[string]any
	now     time.Time
	host    string
	applied bool
}

// refusal is an API error: HTTP 200 with ok false.
type refusal struct {
	code  string
	extra obj
}

func (r *refusal) Error() string { return r.code }

func apiError(code string) error { return &refusal{code: code} }

// invalidArguments is the refusal that explains itself in response_metadata.
func invalidArguments(messages ...string) error {
	return &refusal{code: "invalid_arguments", extra: obj{"response_metadata": obj{"messages": messages}}}
}

func missingArgument(name string) error {
	return invalidArguments("[ERROR] missing required field: " + name + " [json-pointer:/" + name + "]")
}

func (w *Workspace) methods() map[string]method {
	read, history := []string{"channels:read", "groups:read", "im:read", "mpim:read"}, []string{"channels:history", "groups:history", "im:history", "mpim:history"}
	manage, topic := []string{"channels:manage", "channels:write", "groups:write"}, []string{"channels:manage", "channels:write.topic", "groups:write", "groups:write.topic"}
	one := func(s string) []string { return []string{s} }
	return map[string]method{
		"auth.test":                    {tierSpecial, false, nil, authTest},
		"apps.connections.open":        {tier3, true, nil, connectionsOpen},
		"chat.postMessage":             {tierPost, false, one("chat:write"), chatPostMessage},
		"chat.update":                  {tier3, false, one("chat:write"), chatUpdate},
		"chat.postEphemeral":           {tier4, false, one("chat:write"), chatPostEphemeral},
		"chat.delete":                  {tier3, false, one("chat:write"), chatDelete},
		"chat.getPermalink":            {tierSpecial, false, nil, chatGetPermalink},
		"conversations.create":         {tier2, false, manage, conversationsCreate},
		"conversations.invite":         {tier3, false, append([]string{"channels:write.invites", "groups:write.invites"}, manage...), conversationsInvite},
		"conversations.kick":           {tier3, false, manage, conversationsKick},
		"conversations.join":           {tier3, false, one("channels:join"), conversationsJoin},
		"conversations.info":           {tier3, false, read, conversationsInfo},
		"conversations.members":        {tier4, false, read, conversationsMembers},
		"conversations.list":           {tier2, false, read, conversationsList},
		"conversations.history":        {tier3, false, history, conversationsHistory},
		"conversations.replies":        {tier3, false, history, conversationsReplies},
		"conversations.setTopic":       {tier2, false, topic, conversationsSetTopic},
		"conversations.setPurpose":     {tier2, false, topic, conversationsSetPurpose},
		"conversations.rename":         {tier2, false, manage, conversationsRename},
		"conversations.archive":        {tier2, false, manage, conversationsArchive},
		"conversations.open":           {tier3, false, append([]string{"im:write", "mpim:write"}, manage...), conversationsOpen},
		"users.info":                   {tier4, false, one("users:read"), usersInfo},
		"users.list":                   {tier2, false, one("users:read"), usersList},
		"users.lookupByEmail":          {tier3, false, one("users:read.email"), usersLookupByEmail},
		"users.conversations":          {tier3, false, read, usersConversations},
		"usergroups.list":              {tier2, false, one("usergroups:read"), usergroupsList},
		"usergroups.users.list":        {tier2, false, one("usergroups:read"), usergroupsUsersList},
		"views.open":                   {tier4, false, nil, viewsOpen},
		"views.push":                   {tier4, false, nil, viewsPush},
		"views.update":                 {tier4, false, nil, viewsUpdate},
		"views.publish":                {tier4, false, nil, viewsPublish},
		"pins.add":                     {tier2, false, one("pins:write"), pinsAdd},
		"pins.list":                    {tier2, false, one("pins:read"), pinsList},
		"bookmarks.add":                {tier2, false, one("bookmarks:write"), bookmarksAdd},
		"bookmarks.list":               {tier3, false, one("bookmarks:read"), bookmarksList},
		"bookmarks.edit":               {tier2, false, one("bookmarks:write"), bookmarksEdit},
		"reactions.add":                {tier3, false, one("reactions:write"), reactionsAdd},
		"reactions.get":                {tier3, false, one("reactions:read"), reactionsGet},
		"files.getUploadURLExternal":   {tier4, false, one("files:write"), filesGetUploadURL},
		"files.completeUploadExternal": {tier4, false, one("files:write"), filesCompleteUpload},
		"files.info":                   {tier4, false, one("files:read"), filesInfo},
		"team.info":                    {tier3, false, one("team:read"), teamInfo},
		"bots.info":                    {tier3, false, one("users:read"), botsInfo},
	}
}

func (w *Workspace) serveAPI(rw http.ResponseWriter, r *http.Request) {
	c := &call{w: w, method: r.PathValue("method"), now: w.clock(), host: r.Host}
	token, warning, err := c.decode(r)
	w.withFaults(rw, r, c, func() (int, obj) {
		if err != nil {
			return http.StatusOK, c.answer(nil, err)
		}
		w.mu.Lock()
		answer, err := c.run(token)
		w.mu.Unlock()
		body := c.answer(answer, err)
		if warning != "" && err == nil {
			body["warning"] = warning
		}
		if after, ok := body["retry_after"].(int); ok {
			delete(body, "retry_after")
			rw.Header().Set("Retry-After", strconv.Itoa(after))
			return http.StatusTooManyRequests, body
		}
		return http.StatusOK, body
	}, func(status int, body obj) {
		rw.Header().Set("X-OAuth-Scopes", strings.Join(w.cfg.Scopes, ","))
		rw.Header().Set("X-Accepted-OAuth-Scopes", strings.Join(w.handlers[c.method].scopes, ","))
		writeJSON(rw, status, body)
	})
}

// withFaults runs one request under the fault switches: act produces status and body (ok, error), write sends them.
func (w *Workspace) withFaults(rw http.ResponseWriter, r *http.Request, c *call, act func() (int, obj), write func(int, obj)) {
	f := w.faults.take(c.method)
	entry := Call{Time: c.now, Method: c.method, Args: c.args, Fault: f.Kind}
	cut := func() {
		entry.Dropped, entry.Status = true, 0
		w.journal.call(entry)
		panic(http.ErrAbortHandler)
	}
	fail := func(status int, code string) {
		entry.OK, entry.Error, entry.Status = false, code, status
		w.journal.call(entry)
	}
	switch f.Kind {
	case FaultOffline:
		cut()
	case FaultHang:
		entry.Dropped = true
		w.journal.call(entry)
		w.pause(r, 0)
		panic(http.ErrAbortHandler)
	case FaultServerError:
		fail(http.StatusInternalServerError, "server_error")
		writeHTML500(rw)
		return
	case FaultRateLimit:
		fail(http.StatusTooManyRequests, "ratelimited")
		rw.Header().Set("Retry-After", strconv.Itoa(max(1, f.RetryAfter)))
		writeJSON(rw, http.StatusTooManyRequests, obj{"ok": false, "error": "ratelimited"})
		return
	case FaultSlow:
		w.pause(nil, f.Delay)
	}
	status, body := act()
	entry.Gone = r.Context().Err() != nil
	entry.OK, _ = body["ok"].(bool)
	entry.Error, _ = body["error"].(string)
	entry.Status, entry.Landed, entry.Result = status, c.applied, resultIDs(body)
	switch f.Kind {
	case FaultDropAfter:
		cut()
	case FaultServerAfter:
		fail(http.StatusInternalServerError, "server_error")
		writeHTML500(rw)
		return
	case FaultInternalAfter:
		fail(http.StatusOK, "internal_error")
		writeJSON(rw, http.StatusOK, obj{"ok": false, "error": "internal_error"})
		return
	}
	w.journal.call(entry)
	if f.Kind == FaultDelay {
		w.pause(r, f.Delay)
	}
	write(status, body)
}

// pause waits for d, or for ever if it is 0, but not longer than the workspace runs or (if given) the client stays.
func (w *Workspace) pause(r *http.Request, d time.Duration) {
	var timeout <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	var gone <-chan struct{}
	if r != nil {
		gone = r.Context().Done()
	}
	select {
	case <-timeout:
	case <-gone:
	case <-w.ctx.Done():
	}
}

// run authenticates, limits and executes the call. The caller holds the lock.
func (c *call) run(token string) (obj, error) {
	m, known := c.w.handlers[c.method]
	switch {
	case !known:
		return nil, &refusal{code: "unknown_method", extra: obj{"req_method": c.method}}
	case token == "":
		return nil, apiError("not_authed")
	case token != c.w.cfg.BotToken && token != c.w.cfg.AppToken:
		return nil, apiError("invalid_auth")
	case m.appToken != (token == c.w.cfg.AppToken):
		return nil, apiError("not_allowed_token_type")
	}
	if after, ok := c.w.limits.allow(c.method, m.tier, c.str("channel"), c.now); !ok {
		return nil, &refusal{code: "ratelimited", extra: obj{"retry_after": after}}
	}
	if err := c.requireScope(m.scopes...); err != nil {
		return nil, err
	}
	return m.run(c)
}

// requireScope demands that one of the scopes is granted.
func (c *call) requireScope(scopes ...string) error {
	for _, s := range scopes {
		if c.w.scopes[s] {
			return nil
		}
	}
	if len(scopes) == 0 {
		return nil
	}
	return &refusal{code: "missing_scope", extra: obj{"needed": strings.Join(scopes, ","), "provided": strings.Join(c.w.cfg.Scopes, ",")}}
}

func (c *call) answer(ok obj, err error) obj {
	if err == nil {
		if ok == nil {
			ok = obj{}
		}
		ok["ok"] = true
		return ok
	}
	out := obj{"ok": false, "error": err.Error()}
	var r *refusal
	if errors.As(err, &r) {
		for k, v := range r.extra {
			out[k] = v
		}
	}
	return out
}

// decode reads the arguments from query, form, multipart or JSON body, and the token from the header or the form.
func (c *call) decode(r *http.Request) (token, warning string, err error) {
	c.args = map[string]any{}
	addForm(c.args, r.URL.Query())
	if h, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token = h
	}
	media, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch media {
	case "application/json":
		if params["charset"] == "" {
			warning = "missing_charset"
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
		if err != nil {
			return token, warning, apiError("request_timeout")
		}
		if len(body) > 0 && json.Unmarshal(body, &c.args) != nil {
			return token, warning, apiError("invalid_json")
		}
	case "multipart/form-data":
		if err := r.ParseMultipartForm(8 << 20); err != nil {
			return token, warning, apiError("invalid_form_data")
		}
		addForm(c.args, r.MultipartForm.Value)
	case "application/x-www-form-urlencoded":
		if params["charset"] != "" {
			warning = "superfluous_charset"
		}
		if err := r.ParseForm(); err != nil {
			return token, warning, apiError("invalid_form_data")
		}
		addForm(c.args, r.PostForm)
	case "":
		if r.Method == http.MethodPost && r.ContentLength > 0 {
			return token, warning, apiError("missing_post_type")
		}
	default:
		return token, warning, apiError("invalid_post_type")
	}
	if media != "application/json" {
		token = cmpOr(token, c.str("token"))
	}
	delete(c.args, "token")
	return token, warning, nil
}

func addForm(args map[string]any, form url.Values) {
	for k, v := range form {
		if len(v) > 0 {
			args[k] = v[0]
		}
	}
}

// str returns an argument as text, whichever JSON scalar it came as.
func (c *call) str(name string) string {
	switch v := c.args[name].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

func (c *call) flag(name string) bool {
	s := c.str(name)
	return s == "true" || s == "1"
}

// list returns a comma list, or the elements of a JSON array.
func (c *call) list(name string) []string {
	var out []string
	if a, ok := c.args[name].([]any); ok {
		for _, v := range a {
			if s, ok := v.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	for _, s := range strings.Split(c.str(name), ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// value returns a structured argument: a JSON body's value, or the JSON inside a form field. Absent and empty are nil.
func (c *call) value(name string) (any, error) {
	s, isText := c.args[name].(string)
	if !isText {
		return c.args[name], nil
	}
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var v any
	err := json.Unmarshal([]byte(s), &v)
	return v, err
}

func resultIDs(body obj) map[string]string {
	out := map[string]string{}
	for key, name := range map[string]string{"channel": "channel", "ts": "ts", "message_ts": "ts", "view": "view", "file_id": "file", "bookmark": "bookmark"} {
		switch v := body[key].(type) {
		case string:
			out[name] = v
		case obj:
			if id, ok := v["id"].(string); ok {
				out[name] = id
			}
		}
	}
	if files, ok := body["files"].([]obj); ok && len(files) > 0 {
		out["file"], _ = files[0]["id"].(string)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func writeJSON(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(body) // the client's going away is its own affair
}

func writeHTML500(rw http.ResponseWriter) {
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(rw, "<!DOCTYPE html><html><head><title>Server Error</title></head><body><h1>Something went wrong</h1></body></html>")
}
