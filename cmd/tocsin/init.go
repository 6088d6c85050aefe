package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tocsin/bot/config"
	"tocsin/bot/outbound"
	"tocsin/bot/sandbox/company"
)

func initCommand(g *globalFlags) *cobra.Command {
	a := initAnswers{PagerDuty: true, MailPort: 587, MailTLS: "mandatory"}
	var sandbox string
	var people []string
	cmd := &cobra.Command{
		Use: "init DIR", Short: "Write a new folder with a configuration, a keyset, a systemd unit and a Slack manifest", Args: oneArgument,
		Long: "Write everything that a new installation needs into a folder: a short configuration, the file of its secrets, a keyset, a\n" +
			"systemd unit and the manifest of the Slack app. On a terminal, the command asks for each answer that no flag gives. Elsewhere\n" +
			"it writes placeholders, and `tocsin config check` names each of them.\n\n" +
			"Secrets are no flags, because every user of a machine can read the flags of a process. The command asks for them without\n" +
			"echo. It also takes those that the environment has under the names in secrets.env, such as SLACK_BOT_TOKEN.\n\n" +
			"Existing files are never changed. If some of the files exist, the command writes the others. If all exist, the exit status\n" +
			"is 1. With --sandbox, the answers and secrets are those of a running `tocsin sandbox`.",
		Example: "  tocsin init /etc/tocsin\n" +
			"  tocsin init my-tocsin --sandbox http://127.0.0.1:8081\n" +
			"  tocsin init /etc/tocsin --source sentry --mail-host smtp.example.com --person \"legal: Esra Kaya <esra@example.com> U01AAAAAAA5\"",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if a.Dir, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			if strings.ContainsFunc(a.Dir, unicode.IsControl) {
				return fmt.Errorf("the folder %q has a control character in its name, which no configuration file can hold. Choose another name", a.Dir)
			}
			for _, text := range people {
				p, err := parsePersonFlag(text)
				if err != nil {
					return err
				}
				a.People = append(a.People, p)
			}
			if err := a.collect(cmd, sandbox); err != nil {
				return err
			}
			if err := a.check(); err != nil {
				return err
			}
			files, err := a.write()
			if err != nil {
				return err
			}
			return g.reportInit(cmd.OutOrStdout(), args[0], a, files)
		},
	}
	f := cmd.Flags()
	f.StringVar(&sandbox, "sandbox", "", "`URL` of a running `tocsin sandbox`, which answers everything")
	f.StringVar(&a.Listen, "listen", "127.0.0.1:8080", "`address` for webhooks, health and metrics")
	f.StringVar(&a.TimeZone, "time-zone", "", "IANA time `zone` (default the zone of this machine)")
	f.StringVar(&a.User, "user", "", "`user` of the systemd unit (default the user who runs this command, and tocsin for root)")
	f.StringVar(&a.AnnounceChannel, "announce-channel", "incidents", "Slack `channel` that receives the id and severity of every incident")
	f.StringVar(&a.SlackURL, "slack-url", "", "public `URL` of Tocsin, to use Slack over HTTP instead of Socket Mode")
	f.StringVar(&a.EmergencyGroup, "page-slack-group", "", "`id` of a Slack user group that is paged, such as S01AAAAAAA2")
	f.StringVar(&a.PublicURL, "public-url", "", "`URL` at which people reach Tocsin, to link each page to its status page, empty to link to Slack")
	f.StringVar(&a.SignOff, "sign-off", "", "`level` of signatures: passkey (the signer's own passkey), mfa (pages with a second factor) or any (any account, also in Slack)")
	f.BoolVar(&a.PagerDuty, "pagerduty", true, "page with PagerDuty first")
	f.StringVar(&a.PagerDutyURL, "pagerduty-url", "", "`URL` of PagerDuty's Events API, https://events.eu.pagerduty.com for EU accounts")
	f.StringVar(&a.PagerDutyFrom, "pagerduty-from", "", "login `address` of the PagerDuty user in whose name Tocsin changes pages, empty to do without the REST API")
	f.StringVar(&a.PagerDutyService, "pagerduty-service", "", "`id` of the PagerDuty service that pages the responders, such as PABC123, with --pagerduty-from")
	f.StringVar(&a.MailHost, "mail-host", "", "`host` of the SMTP relay, empty for no mail")
	f.IntVar(&a.MailPort, "mail-port", 587, "`port` of the SMTP relay")
	f.StringVar(&a.MailTLS, "mail-tls", "mandatory", "`mode` of TLS to the relay: mandatory, implicit, opportunistic or none")
	f.StringVar(&a.MailUser, "mail-user", "", "`user` at the SMTP relay, empty for no sign-in")
	f.StringVar(&a.MailFrom, "mail-from", "", "`sender` of mail, such as Tocsin <tocsin@example.com>")
	f.StringSliceVar(&a.PageTo, "page-to", nil, "`addresses` that are paged by mail")
	f.StringArrayVar(&people, "person", nil, "`person` as DEPARTMENT: "+personForm+", once for each person")
	f.StringVar(&a.Local, "local", "", "`address` of the person who uses the command line on this machine")
	f.StringSliceVar(&a.Sources, "source", []string{"alertmanager"}, "`sources` of alerts: "+strings.Join(initSourceNames(), ", "))
	return cmd
}

// euEvents is the Events API of PagerDuty accounts in the EU.
const euEvents = "https://events.eu.pagerduty.com"

// collect completes the answers: from a sandbox, from questions on a terminal, or with
// placeholders.
func (a *initAnswers) collect(cmd *cobra.Command, sandbox string) error {
	if a.TimeZone == "" {
		a.TimeZone = defaultTimeZone()
	}
	if a.User == "" {
		a.User = serviceUser()
	}
	if sandbox != "" {
		return a.askSandbox(cmd, sandbox)
	}
	a.secrets = map[string]string{}
	for _, s := range a.secretsOf() {
		a.secrets[s.name] = os.Getenv(s.name)
	}
	if ask := newPrompt(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout()); ask != nil {
		if err := a.ask(ask, cmd.Flags()); err != nil {
			return err
		}
	}
	if a.PagerDutyURL == euEvents {
		a.PagerDutyAPI = "https://api.eu.pagerduty.com"
	}
	if a.MailHost != "" && a.MailFrom == "" {
		a.MailFrom = "Tocsin <" + config.Placeholder + "-sender@example.com>"
	}
	return nil
}

// sandboxWait is how long a sandbox may take to start.
const sandboxWait = 5 * time.Second

// besideSandbox are the flags that a sandbox does not answer.
var besideSandbox = []string{"sandbox", "public-url", "time-zone", "user", "local"}

// askSandbox takes the answers from the page of a running sandbox.
func (a *initAnswers) askSandbox(cmd *cobra.Command, page string) error {
	var err error
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		switch {
		case err != nil || !f.Changed || slices.Contains(besideSandbox, f.Name):
		case f.Name == "listen":
			err = fmt.Errorf("--sandbox answers --listen, because the sandbox sends alerts to one address. Leave --listen out, and start the sandbox with: tocsin sandbox --bot http://%s", a.Listen)
		default:
			err = fmt.Errorf("--sandbox answers --%s. Leave one of the two out", f.Name)
		}
	})
	if err != nil {
		return err
	}
	address, err := sandboxURL(page)
	if err != nil {
		return err
	}
	status, body, err := getLocal(cmd.Context(), address, outbound.Limits{}, sandboxWait, func(_ int, err error) bool { return !errors.Is(err, syscall.ECONNREFUSED) })
	if err != nil {
		return fmt.Errorf("no sandbox answers at %s. Run `tocsin sandbox` in another terminal, and write the address that it prints: %w", page, err)
	}
	var setup company.Setup
	if err := json.Unmarshal(body, &setup); status != http.StatusOK || err != nil {
		return fmt.Errorf("%s is not the page of a sandbox (status %d). Write the address that `tocsin sandbox` prints", page, status)
	}
	return a.useSandbox(setup)
}

// ask asks for each answer that no flag gives.
func (a *initAnswers) ask(p *prompt, flags *pflag.FlagSet) error {
	p.say("Answer each question, or press Enter for the value in brackets. Nothing is written before the last answer.\n")
	p.text(flags, "time-zone", "Time zone", &a.TimeZone, checkTimeZone)
	p.text(flags, "public-url", "URL at which people reach Tocsin, to link each page to its status page, or empty", &a.PublicURL, func(s string) error {
		return initAnswers{Listen: a.Listen, PagerDuty: true, PublicURL: s}.check()
	})
	p.say("\nSignatures. Four departments sign every closing record. Choose how:\n" +
		"  passkey  each signer uses their own passkey on the pages. Others can verify the signature without Tocsin, and a stolen Slack account cannot sign.\n" +
		"  mfa      signers use the pages in a session with a second factor.\n" +
		"  any      an account is enough, also one in Slack. The postmortem says so.\n")
	p.text(flags, "sign-off", "Signatures: passkey, mfa or any", &a.SignOff, func(s string) error {
		if s == "" {
			return errors.New("write passkey, mfa or any. There is no default")
		}
		return initAnswers{PublicURL: a.PublicURL, SignOff: s}.checkSignOff()
	})
	p.text(flags, "announce-channel", "Slack channel for announcements", &a.AnnounceChannel, nil)
	p.yes(flags, "pagerduty", "Page with PagerDuty", &a.PagerDuty)
	if a.PagerDuty && !flags.Changed("pagerduty-url") {
		eu := false
		p.yes(flags, "", "Is the PagerDuty account in the EU", &eu)
		if eu {
			a.PagerDutyURL = euEvents
		}
	}
	if a.PagerDuty {
		a.askPagerDutyAPI(p, flags)
	}
	p.text(flags, "mail-host", "Host of the SMTP relay, empty for no mail", &a.MailHost, nil)
	if a.MailHost != "" {
		port := strconv.Itoa(a.MailPort)
		p.text(flags, "mail-port", "Port of the SMTP relay", &port, func(s string) error {
			if n, err := strconv.Atoi(s); err != nil || n < 1 || n > 65535 {
				return errors.New("write a number from 1 to 65535")
			}
			return nil
		})
		a.MailPort, _ = strconv.Atoi(port) // checked, or a flag
		if a.MailPort == 465 && !flags.Changed("mail-tls") {
			a.MailTLS = "implicit"
		}
		p.text(flags, "mail-user", "User at the SMTP relay, empty for no sign-in", &a.MailUser, nil)
		p.text(flags, "mail-from", "Sender of mail, such as Tocsin <tocsin@example.com>", &a.MailFrom, nil)
		to := strings.Join(a.PageTo, ", ")
		p.text(flags, "page-to", "Addresses that are paged by mail after PagerDuty, with commas, or empty", &to, nil)
		a.PageTo = splitList(to)
	}
	chosen := strings.Join(a.Sources, ", ")
	p.text(flags, "source", "Sources of alerts, some of "+strings.Join(initSourceNames(), ", "), &chosen, func(s string) error {
		return initAnswers{Listen: a.Listen, PagerDuty: true, Sources: splitList(s)}.check()
	})
	a.Sources = splitList(chosen)
	a.askPeople(p, flags)
	for _, s := range a.secretsOf() {
		if a.secrets[s.name] == "" && !s.own {
			a.secrets[s.name] = p.hidden(s.comment+" Empty to fill in later", s.check)
		}
	}
	return p.err
}

// askPagerDutyAPI asks for the user and the service of PagerDuty's REST API.
func (a *initAnswers) askPagerDutyAPI(p *prompt, flags *pflag.FlagSet) {
	p.text(flags, "pagerduty-from", "Login address of a PagerDuty user, to update pages and page a chosen person through the REST API, or empty", &a.PagerDutyFrom, nil)
	if a.PagerDutyFrom != "" {
		p.text(flags, "pagerduty-service", "ID of the PagerDuty service that pages the responders, at the end of its address", &a.PagerDutyService, func(s string) error {
			return initAnswers{Listen: a.Listen, PagerDuty: true, PagerDutyFrom: a.PagerDutyFrom, PagerDutyService: s}.check()
		})
	}
}

// askPeople asks for the people of each department, unless a flag gives people.
func (a *initAnswers) askPeople(p *prompt, flags *pflag.FlagSet) {
	if flags.Changed("person") || p.err != nil {
		return
	}
	p.say("\nPeople: at least two for each department, as " + personForm + ".\nThe Slack ID is in the profile in Slack, menu with three dots, Copy member ID. Press Enter for the next department.\n")
	for _, department := range initDepartments() {
		for n := 1; p.err == nil; n++ {
			var text string
			p.text(nil, "", fmt.Sprintf("%s, person %d", department, n), &text, func(s string) error {
				if s == "" {
					return nil
				}
				person, err := parsePerson(department, s)
				if err != nil {
					return err
				}
				return initAnswers{Listen: a.Listen, PagerDuty: true, People: append(slices.Clone(a.People), person)}.check()
			})
			if text == "" {
				break
			}
			person, _ := parsePerson(department, text) // checked
			a.People = append(a.People, person)
		}
	}
	if len(a.People) > 0 {
		p.text(flags, "local", "Your own address, to use the command line as yourself, or empty", &a.Local, func(s string) error {
			return initAnswers{Listen: a.Listen, PagerDuty: true, People: a.People, Local: s}.check()
		})
	}
}

func checkTimeZone(zone string) error {
	if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
		return errors.New("write an IANA time zone, such as Europe/Paris")
	}
	return nil
}

func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}
