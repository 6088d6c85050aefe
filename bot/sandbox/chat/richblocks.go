package chat

import "unicode/utf8"

func checkRichText(k *blockCheck, p string, b obj) {
	for i, e := range k.listField(p, b, "elements", 1000) {
		at := p + "/elements/" + itoa(i)
		o, _ := e.(obj)
		switch kind := o["type"]; kind {
		case "rich_text_section", "rich_text_preformatted", "rich_text_quote":
			k.richLine(at, o)
		case "rich_text_list":
			if style := o["style"]; style != "bullet" && style != "ordered" {
				k.fail(at+"/style", "must be one of: bullet, ordered")
			}
			if n, ok := o["indent"].(float64); ok && (n < 0 || n > 8) {
				k.fail(at+"/indent", "must be between 0 and 8")
			}
			for j, line := range k.listField(at, o, "elements", 1000) {
				inner, _ := line.(obj)
				if inner["type"] != "rich_text_section" {
					k.fail(at+"/elements/"+itoa(j)+"/type", "unsupported type: %v", inner["type"])
					continue
				}
				k.richLine(at+"/elements/"+itoa(j), inner)
			}
		default:
			k.fail(at+"/type", "unsupported type: %v", kind)
		}
	}
}

var richParts = map[string]string{"text": "text", "link": "url", "emoji": "name", "user": "user_id", "usergroup": "usergroup_id", "channel": "channel_id",
	"broadcast": "range", "date": "timestamp", "color": "value"}

func (k *blockCheck) richLine(p string, o obj) {
	list, ok := o["elements"].([]any)
	if !ok {
		k.missing(p, "elements")
	}
	for i, e := range list {
		at := p + "/elements/" + itoa(i)
		part, _ := e.(obj)
		kind, _ := part["type"].(string)
		field, known := richParts[kind]
		switch {
		case !known:
			k.fail(at+"/type", "unsupported type: %s", kind)
		case part[field] == nil || part[field] == "":
			k.missing(at, field)
		}
		if s, ok := part["text"].(string); ok {
			k.text += utf8.RuneCountInString(s)
		}
	}
}

func checkMarkdown(k *blockCheck, p string, b obj) {
	k.allowOn(p, onMessage)
	s, _ := b["text"].(string)
	if s == "" {
		k.missing(p, "text")
	}
	k.markdown += utf8.RuneCountInString(s)
}

func checkTable(k *blockCheck, p string, b obj) {
	k.allowOn(p, onMessage)
	if k.tables++; k.tables > 1 {
		k.fail(p, "only one table is allowed")
	}
	for i, r := range k.listField(p, b, "rows", 100) {
		at := p + "/rows/" + itoa(i)
		cells, ok := r.([]any)
		if !ok || len(cells) == 0 || len(cells) > 20 {
			k.fail(at, "must be an array of 1 to 20 cells")
		}
		for j, c := range cells {
			cell, _ := c.(obj)
			switch cell["type"] {
			case "raw_text":
				s, _ := cell["text"].(string)
				if s == "" {
					k.missing(at+"/"+itoa(j), "text")
				}
				k.text += utf8.RuneCountInString(s)
			case "rich_text":
				checkRichText(k, at+"/"+itoa(j), cell)
			default:
				k.fail(at+"/"+itoa(j)+"/type", "unsupported type: %v", cell["type"])
			}
		}
	}
	if cols, ok := b["column_settings"].([]any); ok && len(cols) > 20 {
		k.fail(p+"/column_settings", "no more than 20 items allowed")
	}
}

func checkFileBlock(k *blockCheck, p string, b obj) {
	k.allowOn(p, onMessage)
	k.required(p, b, "external_id", 255)
	if b["source"] != "remote" {
		k.fail(p+"/source", "must be one of: remote")
	}
}

func checkVideo(k *blockCheck, p string, b obj) {
	k.required(p, b, "alt_text", 2000)
	k.textField(p, b, "title", true, true, 199)
	k.optional(p, b, "author_name", 49)
	for _, field := range []string{"video_url", "thumbnail_url"} {
		if !isWebURL(k.required(p, b, field, 3000)) {
			k.fail(p+"/"+field, "must be a valid URL")
		}
	}
}
