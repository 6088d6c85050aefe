package command

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// factTitles are the facts as the menu of the form shows them.
var factTitles = map[string]string{
	string(incident.FactOccurred): "When it began", string(incident.FactDetected): "When it was detected", string(incident.FactAware): "When the company became aware, under a law",
	string(incident.FactClassified): "When it was classified as major", string(incident.FactPersonalData): "Whether personal data is involved", string(incident.FactAffected): "Affected parties",
	string(incident.FactTimeZone): "Time zone of the incident", string(incident.FactLanguage): "Language of the closing record",
}

// factMenu is the menu of facts. The form of the selected fact follows.
var factMenu = &FormSpec{Title: "Set a fact", Submit: "Continue", Fields: []Field{
	factNameArg.radio("Which fact?", names(incident.FactNames())...).titled(factTitles),
}}

// factForms holds the form of each fact.
var factForms = map[incident.FactName]*FormSpec{
	incident.FactOccurred:   factForm("When it began", factTimeField("When did the incident begin?", func(f incident.Facts, _ string) *incident.Instant { return f.Occurred })),
	incident.FactDetected:   factForm("When it was detected", factTimeField("When was the incident detected?", func(f incident.Facts, _ string) *incident.Instant { return f.Detected })),
	incident.FactClassified: factForm("When it was classified", factTimeField("When was the incident classified as major?", func(f incident.Facts, _ string) *incident.Instant { return f.Classified })),
	incident.FactAware: factForm("Awareness under a law",
		regimeArg.radio("Under which law?", "gdpr", "nis2", "dora", "cra").titled(map[string]string{"gdpr": "GDPR", "nis2": "NIS2", "dora": "DORA", "cra": "CRA"}),
		factTimeField("When did the company become aware?", awareness).hint("The deadlines of the law run from this time.")).filledBy(offerKnownLaws),
	incident.FactPersonalData: factForm("Personal data", factTextArg(func(f incident.Facts) string { return string(f.PersonalData) }).
		radio("Is personal data involved?", string(incident.PersonalUnknown), string(incident.PersonalNo), string(incident.PersonalSuspected), string(incident.PersonalConfirmed)).
		hint("Suspected and confirmed involve legal, communications and data protection.")),
	incident.FactAffected: factForm("Affected parties", affectedWhoArg.input(KindLine, "Which group or company is affected?"),
		affectedCapacityArg.radio("What is your company towards them?", string(incident.Controller), string(incident.Processor)).
			titled(map[string]string{string(incident.Controller): "Controller: we decide why the data is processed", string(incident.Processor): "Processor: we process the data for them"}),
		affectedCountArg.input(KindNumber, "How many people?").optional().hint("Empty means unknown."),
		affectedNotifiedArg.input(KindMoment, "When were they notified?").optional().hint("Empty means not yet.")),
	incident.FactTimeZone: settingForm("Time zone", factTextArg(func(f incident.Facts) string { return f.TimeZone }).choice("Time zone of the incident", commonZones...).
		hint("For another zone, type fact time_zone and its name, such as Europe/Paris.")),
	incident.FactLanguage: settingForm("Language", factTextArg(func(f incident.Facts) string { return f.Language }).choice("Language of the closing record", languages...).
		titled(languageTitles).hint("For another language, type fact language and its code, such as pt-BR.")),
}

// languageTitles are the languages that the form offers.
var languageTitles = map[string]string{"bg": "Bulgarian", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fi": "Finnish", "fr": "French",
	"ga": "Irish", "hr": "Croatian", "hu": "Hungarian", "it": "Italian", "ja": "Japanese", "lt": "Lithuanian", "lv": "Latvian", "mt": "Maltese", "nb": "Norwegian", "nl": "Dutch", "pl": "Polish",
	"pt": "Portuguese", "ro": "Romanian", "sk": "Slovak", "sl": "Slovenian", "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese"}

var languages = slices.Sorted(maps.Keys(languageTitles))

// factForm returns the form of a fact that needs a reason.
func factForm(title string, fields ...Field) *FormSpec {
	return &FormSpec{Title: title, Submit: "Set", NeedsState: true, Fields: append(fields, textArg.input(KindProse, "How is this known?"))}
}

// settingForm returns the form of a fact that needs no reason.
func settingForm(title string, fields ...Field) *FormSpec {
	return &FormSpec{Title: title, Submit: "Set", NeedsState: true, Fields: append(fields, textArg.input(KindProse, "Why?").optional())}
}

func (f *FormSpec) filledBy(fill func(*Form, FormContext)) *FormSpec {
	f.fill = fill
	return f
}

// needsReason reports whether a fact is refused without a reason.
func needsReason(f *incident.FactChange) bool {
	return f != nil && f.Name != incident.FactTimeZone && f.Name != incident.FactLanguage
}

// factReasonArg is the reason of a fact. A form asks for it if the fact needs it.
var factReasonArg = Arg{Name: "text", Usage: "because REASON", part: textPart, asked: true, read: func(p *parser, w *Parsed) (bool, error) {
	given, err := readIntroduced(p, w)
	return given || !needsReason(w.Command.Fact), err
}, write: writeBecause}

// factTimeField is the time of a fact. known returns the present one, which the form
// shows.
func factTimeField(label string, known func(f incident.Facts, regime string) *incident.Instant) Field {
	return Arg{Name: "value", read: func(p *parser, w *Parsed) (bool, error) {
		return true, p.factInstant(w.Command.Fact)
	}, value: func(c FormContext) string {
		if c.Given.Fact.Value != "" {
			return c.Given.Fact.Value
		}
		if at := known(c.Incident.Facts, c.Given.Fact.Regime); at != nil {
			return at.At.UTC().Format(time.RFC3339)
		}
		return ""
	}}.input(KindMoment, label)
}

// awareness returns the known awareness under the given law.
func awareness(f incident.Facts, regime string) *incident.Instant {
	if at, known := f.Aware[regime]; known {
		return &at
	}
	return nil
}

// factTextArg is the value of a fact that is a word.
func factTextArg(known func(incident.Facts) string) Arg {
	return Arg{Name: "value", read: func(p *parser, w *Parsed) (bool, error) {
		return true, p.factValue(w.Command.Fact)
	}, value: func(c FormContext) string {
		if c.Given.Fact.Value != "" {
			return c.Given.Fact.Value
		}
		return known(c.Incident.Facts)
	}}
}

// regimeArg is the law of an awareness.
var regimeArg = Arg{Name: "regime", part: func(c *incident.Command) *string { return &c.Fact.Regime }}

// offerKnownLaws adds the laws whose awareness is known.
func offerKnownLaws(f *Form, c FormContext) {
	for _, law := range slices.Sorted(maps.Keys(c.Incident.Facts.Aware)) {
		f.Fields[0].offer(law)
	}
}

// affectedOf returns the affected party of the command, which it begins if necessary.
func affectedOf(c *incident.Command) *incident.Affected {
	if c.Fact.Affected == nil {
		c.Fact.Affected = &incident.Affected{}
	}
	return c.Fact.Affected
}

// The parts of an affected party, for the fields of the form.
var (
	affectedWhoArg      = Arg{Name: "who", part: func(c *incident.Command) *string { return &affectedOf(c).Who }}
	affectedCapacityArg = Arg{Name: "capacity", part: func(c *incident.Command) *string { return (*string)(&affectedOf(c).Capacity) }}
	affectedCountArg    = Arg{Name: "count", read: func(p *parser, w *Parsed) (bool, error) {
		return true, p.affectedCount(affectedOf(&w.Command))
	}, value: func(c FormContext) string {
		if n := affectedOf(&c.Given).Count; n > 0 {
			return strconv.Itoa(n)
		}
		return ""
	}}
	affectedNotifiedArg = Arg{Name: "notified_at", read: func(p *parser, w *Parsed) (bool, error) {
		at, err := p.needTime("notified_at", past)
		affectedOf(&w.Command).NotifiedAt = at.UTC()
		return err == nil, err
	}, value: func(c FormContext) string {
		if at := affectedOf(&c.Given).NotifiedAt; !at.IsZero() {
			return at.UTC().Format(time.RFC3339)
		}
		return ""
	}}
)

// offer adds an option to a menu, unless it is empty or there.
func (f *Field) offer(option string) {
	if option = strings.TrimSpace(option); option != "" && !slices.Contains(f.Options, option) {
		f.Options = append(slices.Clip(f.Options), option)
	}
}
