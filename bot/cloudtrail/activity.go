package cloudtrail

import (
	"strings"
	"time"

	"tocsin/bot/incident"
)

// activity returns the call that a record describes.
func (r *record) activity(at time.Time) *incident.Activity {
	i := r.UserIdentity
	principal, key := i.principal()
	a := &incident.Activity{At: at, Call: r.service() + " " + string(r.EventName), Principal: principal, AccessKey: string(i.AccessKeyID),
		Address: string(r.SourceIPAddress), Region: string(r.Region), UserAgent: string(r.UserAgent), EventID: string(r.EventID)}
	if r.isFailed() {
		a.Result = firstNonEmpty(r.ErrorCode, r.ErrorMessage)
	}
	name := key[strings.LastIndex(key, "/")+1:]
	arn := string(i.ARN)
	a.Names = make([]string, 0, 8)
	for _, n := range [...]string{arn, withoutSession(arn), key, name, i.session(), string(i.UserName), string(i.PrincipalID), string(i.InvokedBy)} {
		if n != "" {
			a.Names = append(a.Names, n)
		}
	}
	for _, account := range [...]string{string(r.Account), string(i.AccountID)} {
		if account != "" && (len(a.Accounts) == 0 || a.Accounts[0] != account) {
			a.Accounts = append(a.Accounts, account)
		}
	}
	return a
}
