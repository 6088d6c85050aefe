package chat

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

type file struct {
	id, name, title, user string
	size                  int
	created               int64
	content               []byte
	uploaded, complete    bool
	deleted               bool
	shares                map[string][]string // message timestamps by channel id
	order                 []string            // channel ids in the order of sharing
}

func (f *file) share(channel, ts string) {
	if len(f.shares[channel]) == 0 {
		f.order = append(f.order, channel)
	}
	f.shares[channel] = append(f.shares[channel], ts)
}

func (f *file) mimetype() string {
	return cmpOr(mime.TypeByExtension(filepath.Ext(f.name)), "application/octet-stream")
}

func (f *file) wire(w *Workspace) obj {
	if f.deleted {
		return obj{"id": f.id, "mode": "tombstone"}
	}
	in := map[string][]string{KindPublic: {}, KindPrivate: {}, KindDM: {}, KindGroupDM: {}}
	public, private := obj{}, obj{}
	for _, id := range f.order {
		ch := w.channels[id]
		in[ch.kind] = append(in[ch.kind], id)
		var list []obj
		for _, ts := range f.shares[id] {
			list = append(list, obj{"ts": ts, "channel_name": ch.name})
		}
		if ch.kind == KindPublic {
			public[id] = list
		} else {
			private[id] = list
		}
	}
	download := w.baseURL + "/files/" + f.id + "/" + url.PathEscape(f.name)
	return obj{"id": f.id, "created": f.created, "timestamp": f.created, "name": f.name, "title": cmpOr(f.title, f.name), "mimetype": f.mimetype(),
		"filetype": strings.TrimPrefix(filepath.Ext(f.name), "."), "user": f.user, "size": f.size, "mode": "hosted", "is_external": false,
		"is_public": len(in[KindPublic]) > 0, "url_private": download, "url_private_download": download, "permalink": w.filePermalink(f),
		"channels": in[KindPublic], "groups": in[KindPrivate], "ims": append(in[KindDM], in[KindGroupDM]...), "shares": obj{"public": public, "private": private}}
}

func (w *Workspace) filePermalink(f *file) string {
	return "https://" + w.cfg.Team.Domain + ".slack.com/files/" + f.user + "/" + f.id + "/" + url.PathEscape(f.name)
}

// maxUpload is the maximum size of a file in bytes. It is below Slack's 1 GB because the sandbox stores files in memory.
const maxUpload = 64 << 20

func filesGetUploadURL(c *call) (obj, error) {
	name := c.str("filename")
	if name == "" {
		return nil, missingArgument("filename")
	}
	size, err := strconv.Atoi(c.str("length"))
	if err != nil || size <= 0 {
		return nil, invalidArguments("[ERROR] must be greater than 0 [json-pointer:/length]")
	}
	if size > maxUpload {
		return nil, apiError("file_upload_size_restricted")
	}
	f := &file{id: c.w.newID("F"), name: name, user: c.w.cfg.Bot.UserID, size: size, created: c.now.Unix(), shares: map[string][]string{}}
	t := ticket()
	c.w.files[f.id], c.w.uploads[t] = f, f.id
	c.applied = true
	return obj{"upload_url": "http://" + c.host + "/upload/" + t, "file_id": f.id}, nil
}

// serveUpload receives the bytes of a file as a raw or multipart body.
func (w *Workspace) serveUpload(rw http.ResponseWriter, r *http.Request) {
	c := &call{w: w, method: "upload_url", now: w.clock(), args: map[string]any{"ticket": r.PathValue("ticket")}}
	body, err := uploadBody(r)
	w.withFaults(rw, r, c, func() (int, obj) {
		w.mu.Lock()
		defer w.mu.Unlock()
		f := w.files[w.uploads[r.PathValue("ticket")]]
		switch {
		case err != nil:
			return http.StatusBadRequest, obj{"ok": false, "error": "bad upload"}
		case f == nil || f.complete:
			return http.StatusNotFound, obj{"ok": false, "error": "unknown upload"}
		case len(body) != f.size:
			return http.StatusBadRequest, obj{"ok": false, "error": "length does not match"}
		}
		f.content, f.uploaded = body, true
		c.args["file"] = f.id
		c.applied = true
		w.touch()
		return http.StatusOK, obj{"ok": true, "file_id": f.id}
	}, func(status int, b obj) {
		rw.WriteHeader(status)
		if status == http.StatusOK {
			_, _ = io.WriteString(rw, "OK - "+strconv.Itoa(len(body)))
			return
		}
		_, _ = io.WriteString(rw, b["error"].(string))
	})
}

func uploadBody(r *http.Request) ([]byte, error) {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "multipart/form-data" {
		return io.ReadAll(io.LimitReader(r.Body, maxUpload))
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, err
	}
	for {
		p, err := parts.NextPart()
		if err != nil {
			return nil, err
		}
		if p.FileName() != "" {
			return io.ReadAll(io.LimitReader(p, maxUpload))
		}
	}
}

// serveDownload sends a file to a client with the bot token and the scope files:read, if the bot can see the file. As in
// Slack, a client without them is redirected to a page that asks to sign in, which has status 200.
func (w *Workspace) serveDownload(rw http.ResponseWriter, r *http.Request) {
	c := &call{w: w, method: "url_private", now: w.clock(), args: map[string]any{"file": r.PathValue("id")}}
	var media string
	var content []byte
	w.withFaults(rw, r, c, func() (int, obj) {
		w.mu.Lock()
		defer w.mu.Unlock()
		f := w.files[r.PathValue("id")]
		switch {
		case r.Header.Get("Authorization") != "Bearer "+w.cfg.BotToken || !w.scopes["files:read"]:
			return http.StatusFound, obj{"ok": false, "error": "not_authed"}
		case f == nil || !f.complete || f.deleted || !w.appSees(f):
			return http.StatusNotFound, obj{"ok": false, "error": "file_not_found"}
		}
		media, content = f.mimetype(), f.content
		return http.StatusOK, obj{"ok": true}
	}, func(status int, _ obj) {
		switch status {
		case http.StatusFound:
			http.Redirect(rw, r, "/?redir="+url.QueryEscape(r.URL.Path), status)
		case http.StatusOK:
			rw.Header().Set("Content-Type", media)
			_, _ = rw.Write(content)
		default:
			http.NotFound(rw, r)
		}
	})
}

// serveSignIn serves the page to which Slack redirects a download without a valid token.
func serveSignIn(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(rw, "<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in to your workspace</h1></body></html>")
}

// appSees reports whether the bot owns a file or is a member of a conversation with it. The caller holds mu.
func (w *Workspace) appSees(f *file) bool {
	return f.user == w.cfg.Bot.UserID || slices.ContainsFunc(f.order, func(id string) bool { return w.channels[id].members[w.cfg.Bot.UserID] })
}

// emitFile queues an event of a file that the bot can see. The caller holds mu.
func (w *Workspace) emitFile(f *file, typ string, e obj) {
	if w.appSees(f) {
		e["file_id"] = f.id
		w.emit(typ, "files:read", e)
	}
}

func filesCompleteUpload(c *call) (obj, error) {
	files, titles, err := c.pendingUploads()
	if err != nil {
		return nil, err
	}
	channels := append(c.list("channels"), c.list("channel_id")...)
	if len(channels) > 100 {
		return nil, apiError("channels_limit_exceeded")
	}
	post := content{text: c.str("initial_comment"), hasText: true}
	if err := c.uploadBlocks(&post); err != nil {
		return nil, err
	}
	var targets []*channel
	var parent *message
	for _, id := range channels {
		c.args["channel"] = id
		ch, err := c.shareTarget()
		if err != nil {
			return nil, err
		}
		if ts := c.str("thread_ts"); ts != "" {
			if parent = ch.byTS[ts]; parent == nil || parent.parent != nil {
				return nil, invalidArguments("[ERROR] invalid thread_ts [json-pointer:/thread_ts]")
			}
		}
		targets = append(targets, ch)
	}
	delete(c.args, "channel")
	answer := []obj{}
	for i, f := range files {
		f.complete, f.title = true, cmpOr(titles[i], f.name)
		answer = append(answer, obj{"id": f.id, "title": f.title})
	}
	share := func() {
		for _, ch := range targets {
			m := c.w.botMessage(post)
			m.subtype, m.files, m.parent = "file_share", append([]*file(nil), files...), parent
			c.w.append(ch, m)
		}
	}
	c.applied = true
	if c.w.cfg.ShareDelay > 0 {
		c.w.afterDelay(c.w.cfg.ShareDelay, share)
	} else {
		share()
	}
	c.w.touch()
	return obj{"files": answer}, nil
}

// pendingUploads returns the files in the argument files with their titles. They must be uploaded and not completed.
func (c *call) pendingUploads() (files []*file, titles []string, err error) {
	v, err := c.value("files")
	list, ok := v.([]any)
	if err != nil || !ok || len(list) == 0 {
		return nil, nil, missingArgument("files")
	}
	for _, e := range list {
		o, _ := e.(obj)
		id, _ := o["id"].(string)
		title, _ := o["title"].(string)
		f := c.w.files[id]
		switch {
		case f == nil || !f.uploaded:
			return nil, nil, apiError("file_not_found")
		case f.complete:
			return nil, nil, apiError("file_update_failed")
		}
		files, titles = append(files, f), append(titles, title)
	}
	return files, titles, nil
}

// uploadBlocks reads the blocks of a file's message into p. Slack ignores the blocks if there is a comment, and returns
// internal_error for a markdown block.
func (c *call) uploadBlocks(p *content) error {
	v, err := c.value("blocks")
	if err != nil {
		return apiError("invalid_blocks")
	}
	list, _ := v.([]any)
	if len(list) == 0 || p.text != "" {
		return nil
	}
	for _, b := range list {
		if o, ok := b.(obj); ok && o["type"] == "markdown" {
			return apiError("internal_error")
		}
	}
	p.blocks, err = c.w.messageBlocks(list, "/blocks")
	return err
}

func (c *call) shareTarget() (*channel, error) {
	ch, err := c.channel("channel")
	switch {
	case err != nil:
		return nil, err
	case ch.archived:
		return nil, apiError("posting_to_channel_denied")
	case !ch.members[c.w.cfg.Bot.UserID]:
		return nil, apiError("not_in_channel")
	}
	return ch, nil
}

func filesInfo(c *call) (obj, error) {
	f := c.w.files[c.str("file")]
	switch {
	case f == nil || !f.complete || !c.w.appSees(f):
		return nil, apiError("file_not_found")
	case f.deleted:
		return nil, apiError("file_deleted")
	}
	return obj{"file": f.wire(c.w), "comments": []obj{}, "response_metadata": obj{"next_cursor": ""}}, nil
}
