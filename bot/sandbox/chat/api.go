package chat

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// obj is a JSON object on the wire.
type obj = map[string]any

// method is one Web API method. A call needs one of its scopes, or none if scopes is empty. Methods with appToken
// accept only the app-level token. All other methods accept only the bot token.
type method struct {
	tier     tier
	appToken bool
	scopes   []string
	run      func(*call) (obj, error)
}

// call is an API request in progress. Its method's run function is called with the workspace's lock held.
type call struct {
	w       *Workspace
	method  string
	args    map[string]any
	now     time.Time
	host    string
	applied bool
}

// responseError is an API error, which Slack sends as HTTP 200 with ok set to false.
type responseError struct {
	code  string
	extra obj
}

func (r *responseError) Error() string { return r.code }

func apiError(code string) error { return &responseError{code: code} }

// invalidArguments returns the error invalid_arguments with its messages in response_metadata.
func invalidArguments(messages ...string) error {
	return &responseError{code: "invalid_arguments", extra: obj{"response_metadata": obj{"messages": messages}}}
}

func missingArgument(name string) error {
	return invalidArguments("[ERROR] missing required field: " + name + " [json-pointer:/" + name + "]")
}

func (w *Workspace) methods() map[string]method {
	read, history := []string{"channels:read", "groups:read", "im:read", "mpim:read"}, []string{"channels:history", "groups:history", "im:history", "mpim:history"}
	manage, topic := []string{"channels:manage", "channels:write", "groups:write"}, []string{"channels:manage", "channels:write.topic", "groups:write", "groups:write.topic"}
	scope := func(s string) []string { return []string{s} }
	return map[string]method{
		"auth.test":                    {tierSpecial, false, nil, authTest},
		"apps.connections.open":        {tier3, true, nil, connectionsOpen},
		"chat.postMessage":             {tierPost, false, scope("chat:write"), chatPostMessage},
		"chat.update":                  {tier3, false, scope("chat:write"), chatUpdate},
		"chat.postEphemeral":           {tier4, false, scope("chat:write"), chatPostEphemeral},
		"chat.delete":                  {tier3, false, scope("chat:write"), chatDelete},
		"chat.getPermalink":            {tierSpecial, false, nil, chatGetPermalink},
		"conversations.create":         {tier2, false, manage, conversationsCreate},
		"conversations.invite":         {tier3, false, append([]string{"channels:write.invites", "groups:write.invites"}, manage...), conversationsInvite},
		"conversations.kick":           {tier3, false, manage, conversationsKick},
		"conversations.join":           {tier3, false, scope("channels:join"), conversationsJoin},
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
		"users.info":                   {tier4, false, scope("users:read"), usersInfo},
		"users.list":                   {tier2, false, scope("users:read"), usersList},
		"users.lookupByEmail":          {tier3, false, scope("users:read.email"), usersLookupByEmail},
		"users.conversations":          {tier3, false, read, usersConversations},
		"usergroups.list":              {tier2, false, scope("usergroups:read"), usergroupsList},
		"usergroups.users.list":        {tier2, false, scope("usergroups:read"), usergroupsUsersList},
		"views.open":                   {tier4, false, nil, viewsOpen},
		"views.push":                   {tier4, false, nil, viewsPush},
		"views.update":                 {tier4, false, nil, viewsUpdate},
		"views.publish":                {tier4, false, nil, viewsPublish},
		"pins.add":                     {tier2, false, scope("pins:write"), pinsAdd},
		"pins.list":                    {tier2, false, scope("pins:read"), pinsList},
		"bookmarks.add":                {tier2, false, scope("bookmarks:write"), bookmarksAdd},
		"bookmarks.list":               {tier3, false, scope("bookmarks:read"), bookmarksList},
		"bookmarks.edit":               {tier2, false, scope("bookmarks:write"), bookmarksEdit},
		"reactions.add":                {tier3, false, scope("reactions:write"), reactionsAdd},
		"reactions.get":                {tier3, false, scope("reactions:read"), reactionsGet},
		"files.getUploadURLExternal":   {tier4, false, scope("files:write"), filesGetUploadURL},
		"files.completeUploadExternal": {tier4, false, scope("files:write"), filesCompleteUpload},
		"files.info":                   {tier4, false, scope("files:read"), filesInfo},
		"team.info":                    {tier3, false, scope("team:read"), teamInfo},
		"bots.info":                    {tier3, false, scope("users:read"), botsInfo},
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

// withFaults handles one request and applies the fault that is set for its method. act performs the request and
// returns the HTTP status and a body with ok and error. write sends them.
func (w *Workspace) withFaults(rw http.ResponseWriter, r *http.Request, c *call, act func() (int, obj), write func(int, obj)) {
	if w.sendAnswer(rw, c) {
		return
	}
	f := w.faults.take(c.method, c.args)
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
	case FaultInternalAfter, FaultFatalAfter:
		code := strings.TrimSuffix(string(f.Kind), "_after") + "_error"
		fail(http.StatusOK, code)
		writeJSON(rw, http.StatusOK, obj{"ok": false, "error": code})
		return
	}
	w.journal.call(entry)
	if f.Kind == FaultDelay {
		w.pause(r, f.Delay)
	}
	write(status, body)
}

// pause waits for d. A d of 0 means no time limit. It returns early when the workspace closes or, if r is not nil,
// when the client disconnects.
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

// run authenticates, rate-limits and executes the call. The caller holds the lock.
func (c *call) run(token string) (obj, error) {
	m, known := c.w.handlers[c.method]
	switch {
	case !known:
		return nil, &responseError{code: "unknown_method", extra: obj{"req_method": c.method}}
	case token == "":
		return nil, apiError("not_authed")
	case token != c.w.cfg.BotToken && token != c.w.cfg.AppToken:
		return nil, apiError("invalid_auth")
	case m.appToken != (token == c.w.cfg.AppToken):
		return nil, apiError("not_allowed_token_type")
	}
	if after, ok := c.w.limits.allow(c.method, m.tier, c.str("channel"), c.now); !ok {
		return nil, &responseError{code: "ratelimited", extra: obj{"retry_after": after}}
	}
	if err := c.requireScope(m.scopes...); err != nil {
		return nil, err
	}
	return m.run(c)
}

// requireScope returns the error missing_scope unless scopes is empty or one of them is granted.
func (c *call) requireScope(scopes ...string) error {
	for _, s := range scopes {
		if c.w.scopes[s] {
			return nil
		}
	}
	if len(scopes) == 0 {
		return nil
	}
	return &responseError{code: "missing_scope", extra: obj{"needed": strings.Join(scopes, ","), "provided": strings.Join(c.w.cfg.Scopes, ",")}}
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
	var r *responseError
	if errors.As(err, &r) {
		for k, v := range r.extra {
			out[k] = v
		}
	}
	return out
}

// decode reads the arguments from the query and from a form, multipart or JSON body. It reads the token from the
// header, or from the query or form if the body is not JSON.
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
	_ = json.NewEncoder(rw).Encode(body) // fails only if the client disconnected
}

func writeHTML500(rw http.ResponseWriter) {
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(rw, "<!DOCTYPE html><html><head><title>Server Error</title></head><body><h1>Something went wrong</h1></body></html>")
}
