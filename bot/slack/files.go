package slack

import (
	"context"
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// metaFile is the metadata key for the ID of the first shared file.
const metaFile = "file"

// Upload shares the postmortem in the channel of the incident, as Markdown
// and as HTML. It uploads the files without sharing them. One marked message
// then shares both. A retry can leave unshared uploads behind, but never
// shares the files twice.
func (s *Slack) Upload(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	doc := b.Document
	if doc == nil {
		return noCommand, &incident.Permanent{Err: fmt.Errorf("%s has no postmortem to share", b.Incident.ID)}
	}
	shared := func(file string) incident.Command {
		return resultCommand(b, e, incident.Command{Verb: incident.VerbPostmortemShared, Revision: doc.Revision, Item: file})
	}
	if b.Attempt > 1 {
		found, ok, err := s.findMessage(ctx, channel, searchStart(b), hasMark(b.Mark))
		if err != nil {
			return noCommand, err
		}
		if ok {
			file, _ := found.Metadata.EventPayload[metaFile].(string)
			return shared(file), nil
		}
	}
	files, err := s.upload(ctx, b.Incident.ID, *doc)
	if err != nil {
		return noCommand, err
	}
	meta := metadata(b, b.Mark)
	meta.EventPayload[metaFile] = files[0].ID
	// A link to a file shares the file, so this message must allow links. It
	// contains no text that a person wrote.
	_, _, err = s.client.PostMessageContext(ctx, channel, slack.MsgOptionText(shareText(b, *doc, files), false), slack.MsgOptionMetadata(meta))
	if err != nil {
		return noCommand, classify("share the postmortem", err)
	}
	title := fmt.Sprintf("Postmortem, revision %d", doc.Revision)
	if _, err := s.bookmark(ctx, channel, title, files[0].Permalink, ":page_facing_up:"); err != nil {
		s.log.WarnContext(ctx, "optional Slack call failed", "call", "add a bookmark", "incident", b.Incident.ID, "err", err)
	}
	return shared(files[0].ID), nil
}

// upload uploads the document without sharing it.
func (s *Slack) upload(ctx context.Context, id incident.ID, doc incident.Document) ([]slack.File, error) {
	base := fmt.Sprintf("%s-postmortem-r%d", strings.ToLower(id.String()), doc.Revision)
	var done []slack.FileSummary
	title := "Postmortem of " + id.String()
	for _, f := range []struct{ name, title, content string }{{base + ".md", title + " (Markdown)", doc.Markdown}, {base + ".html", title + " (HTML)", doc.HTML}} {
		if f.content == "" {
			continue
		}
		place, err := s.client.GetUploadURLExternalContext(ctx, slack.GetUploadURLExternalParameters{FileName: f.name, FileSize: len(f.content)})
		if err != nil {
			return nil, classify("request an upload URL for "+f.name, err)
		}
		if err := s.client.UploadToURL(ctx, slack.UploadToURLParameters{UploadURL: place.UploadURL, Content: f.content, Filename: f.name}); err != nil {
			return nil, classify("upload "+f.name, err)
		}
		done = append(done, slack.FileSummary{ID: place.FileID, Title: f.title})
	}
	if len(done) == 0 {
		return nil, &incident.Permanent{Err: fmt.Errorf("the postmortem of %s is empty", id)}
	}
	if _, err := s.client.CompleteUploadExternalContext(ctx, slack.CompleteUploadExternalParameters{Files: done}); err != nil {
		return nil, classify("complete the upload", err)
	}
	files := make([]slack.File, len(done))
	for n, f := range done {
		info, _, _, err := s.client.GetFileInfoContext(ctx, f.ID, 0, 0)
		if err != nil {
			return nil, classify("read the uploaded file", err)
		}
		files[n] = *info
	}
	return files, nil
}

// shareText returns the message that shares the files.
func shareText(b incident.Brief, doc incident.Document, files []slack.File) string {
	var links []string
	for _, f := range files {
		links = append(links, "<"+f.Permalink+"|"+string(escape(f.Name, 100))+">")
	}
	text := fmt.Sprintf(":page_facing_up: *Tocsin wrote the postmortem of %s, revision %d.* Read %s. Digest of the record: `%s`",
		b.Incident.ID, doc.Revision, strings.Join(links, " or "), escape(doc.Digest, 100))
	if b.Withheld > 0 {
		text += "\n" + string(escape(templates.LeftOut(b.Withheld), 100))
	}
	return text
}
