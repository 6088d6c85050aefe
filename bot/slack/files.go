package slack

import (
	"context"
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
)

// upload uploads files without sharing them.
func (s *Slack) upload(ctx context.Context, files []incident.File) ([]slack.File, error) {
	var done []slack.FileSummary
	for _, f := range files {
		place, err := s.client.GetUploadURLExternalContext(ctx, slack.GetUploadURLExternalParameters{FileName: f.Name, FileSize: len(f.Content)})
		if err != nil {
			return nil, classify("upload files", fmt.Errorf("%s: %w", f.Name, err))
		}
		if err := s.client.UploadToURL(ctx, slack.UploadToURLParameters{UploadURL: place.UploadURL, Content: f.Content, Filename: f.Name}); err != nil {
			return nil, classify("upload files", fmt.Errorf("%s: %w", f.Name, err))
		}
		done = append(done, slack.FileSummary{ID: place.FileID, Title: f.Title})
	}
	if _, err := s.client.CompleteUploadExternalContext(ctx, slack.CompleteUploadExternalParameters{Files: done}); err != nil {
		return nil, classify("upload files", fmt.Errorf("complete the upload: %w", err))
	}
	uploaded := make([]slack.File, len(done))
	for n, f := range done {
		info, _, _, err := s.client.GetFileInfoContext(ctx, f.ID, 0, 0)
		if err != nil {
			return nil, classify("read files", err)
		}
		uploaded[n] = *info
	}
	return uploaded, nil
}

// layoutText lays the paragraphs of a message with files out as text.
func (s *Slack) layoutText(m chat.Message, files []slack.File) string {
	l := s.newLayouter(m)
	l.files = files
	var lines []string
	for _, b := range m.Blocks {
		if p, ok := b.(chat.Paragraph); ok {
			lines = append(lines, string(l.paragraph(p)))
		}
	}
	return strings.Join(lines, "\n")
}

// fileLinks returns links to the files of the message.
func (l *layouter) fileLinks() markup {
	var links []markup
	for _, f := range l.files {
		links = append(links, linkMarkup(f.Permalink, f.Name))
	}
	return joinMarkup(links, " or ")
}
