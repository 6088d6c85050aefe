package cloudtrail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// finding is a GuardDuty finding. EventBridge writes its keys in camel case and the
// API in Pascal case. Keys match in any case.
type finding struct {
	AccountID   text `json:"accountId"`
	Region      text `json:"region"`
	Partition   text `json:"partition"`
	ID          text `json:"id"`
	Type        text `json:"type"`
	Title       text `json:"title"`
	Description text `json:"description"`
	Severity    text `json:"severity"`
	UpdatedAt   text `json:"updatedAt"`
	CreatedAt   text `json:"createdAt"`
	Service     struct {
		Archived       bool   `json:"archived"`
		Count          text   `json:"count"`
		FirstSeen      text   `json:"eventFirstSeen"`
		LastSeen       text   `json:"eventLastSeen"`
		AdditionalInfo object `json:"additionalInfo"`
		Action         struct {
			APICall struct {
				API      text   `json:"api"`
				Service  text   `json:"serviceName"`
				RemoteIP remote `json:"remoteIpDetails"`
			} `json:"awsApiCallAction"`
			Connection struct {
				RemoteIP remote `json:"remoteIpDetails"`
			} `json:"networkConnectionAction"`
			DNS struct {
				Domain text `json:"domain"`
			} `json:"dnsRequestAction"`
		} `json:"action"`
	} `json:"service"`
	Resource struct {
		Type      text `json:"resourceType"`
		AccessKey struct {
			UserName    text `json:"userName"`
			UserType    text `json:"userType"`
			PrincipalID text `json:"principalId"`
			AccessKeyID text `json:"accessKeyId"`
		} `json:"accessKeyDetails"`
		Instance struct {
			ID text `json:"instanceId"`
		} `json:"instanceDetails"`
		Buckets []struct {
			Name text `json:"name"`
		} `json:"s3BucketDetails"`
	} `json:"resource"`
}

// object is a JSON object that is decoded on demand. It can also be a string that
// contains an object.
type object struct{ raw json.RawMessage }

func (o *object) UnmarshalJSON(b []byte) error {
	o.raw = bytes.Clone(b)
	return nil
}

// fields returns the members of the object, or nil if it is not an object.
func (o object) fields() map[string]any {
	b := []byte(o.raw)
	if len(b) > 0 && b[0] == '"' {
		var s string
		if json.Unmarshal(b, &s) != nil {
			return nil
		}
		b = []byte(strings.TrimSpace(s))
	}
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	var m map[string]any
	if json.Unmarshal(b, &m) != nil {
		return nil
	}
	return m
}

type remote struct {
	V4 text `json:"ipAddressV4"`
	V6 text `json:"ipAddressV6"`
}

// alert converts a finding. All updates of a finding have one fingerprint and count as
// occurrences of one alert.
func (f *finding) alert() incident.Alert {
	subject, key := f.subject()
	api := f.Service.Action.APICall
	a := incident.Alert{
		Source: sourceName, Kind: "guardduty." + string(f.Type), Level: f.level(), Rule: "guardduty/" + string(f.Type),
		Title: firstNonEmpty(f.Title, "GuardDuty finding "+f.Type),
		Detail: joinNonEmpty("\n", f.Description, field("Type", f.Type), field("Severity", f.Severity), field("Resource", text(joinNonEmpty(" ", f.Resource.Type, text(subject)))),
			field("API", text(joinNonEmpty(" ", api.Service, api.API))), field("Domain", f.Service.Action.DNS.Domain), field("Access key", f.Resource.AccessKey.AccessKeyID),
			field("First seen", f.Service.FirstSeen), field("Last seen", f.Service.LastSeen), field("Count", f.Service.Count)),
		Fingerprint: "guardduty|" + string(f.AccountID) + "|" + string(f.ID),
		Correlation: "cloudtrail:" + string(f.AccountID) + ":" + key,
		EventID:     string(f.ID), At: parseTime(text(firstNonEmpty(f.UpdatedAt, f.Service.LastSeen, f.CreatedAt))),
		Account: string(f.AccountID), Region: string(f.Region), Principal: subject,
		Address: firstNonEmpty(api.RemoteIP.V4, api.RemoteIP.V6, f.Service.Action.Connection.RemoteIP.V4, f.Service.Action.Connection.RemoteIP.V6),
		Sample:  f.isSample(),
		Tags:    map[string]string{"finding_type": string(f.Type), "severity": string(f.Severity)},
	}
	if regionName.MatchString(string(f.Region)) && !strings.ContainsAny(string(f.ID), "/?#&% ") {
		a.URL = fmt.Sprintf("https://%[1]s.console.aws.amazon.com/guardduty/home?region=%[1]s#/findings?search=id%%3D%[2]s", f.Region, f.ID)
	}
	if f.Service.Archived {
		a.Tags["archived"] = "true"
	}
	return a
}

// version returns the event name of a finding. A later update or a higher count
// changes it. It does not depend on the event bus, because GuardDuty sends a finding
// to the buses of the account and of the administrator.
func (f *finding) version() string {
	if f.UpdatedAt == "" {
		return ""
	}
	return joinNonEmpty("|", "guardduty", f.ID, f.UpdatedAt, f.Service.Count)
}

// subject returns the identity or resource of a finding: a name for responders and
// a part of the correlation key. For an identity, they are equal to the results of
// identity.principal.
func (f *finding) subject() (shown, key string) {
	partition := firstNonEmpty(f.Partition, "aws")
	accessKey := f.Resource.AccessKey
	switch {
	case accessKey.UserType == "Root":
		return fmt.Sprintf("arn:%s:iam::%s:root", partition, f.AccountID), "root"
	case accessKey.UserName != "" && (accessKey.UserType == "AssumedRole" || accessKey.UserType == "Role"):
		return fmt.Sprintf("arn:%s:iam::%s:role/%s", partition, f.AccountID, accessKey.UserName), "role/" + string(accessKey.UserName)
	case accessKey.UserName != "":
		return fmt.Sprintf("arn:%s:iam::%s:user/%s", partition, f.AccountID, accessKey.UserName), "user/" + string(accessKey.UserName)
	case accessKey.PrincipalID != "":
		id, _, _ := strings.Cut(string(accessKey.PrincipalID), ":")
		return id, "principal/" + id
	case f.Resource.Instance.ID != "":
		return string(f.Resource.Instance.ID), "instance/" + string(f.Resource.Instance.ID)
	case len(f.Resource.Buckets) > 0 && f.Resource.Buckets[0].Name != "":
		return string(f.Resource.Buckets[0].Name), "bucket/" + string(f.Resource.Buckets[0].Name)
	}
	return firstNonEmpty(f.Resource.Type, "unknown"), "finding/" + string(f.ID)
}

// level maps the severity by GuardDuty's bands. A finding archived by a suppression
// rule is informational.
func (f *finding) level() incident.Level {
	severity, err := strconv.ParseFloat(string(f.Severity), 64)
	switch {
	case f.Service.Archived:
		return incident.LevelInformational
	case err != nil:
		return incident.LevelMedium // unknown severity
	case severity >= 9:
		return incident.LevelCritical
	case severity >= 7:
		return incident.LevelHigh
	case severity >= 4:
		return incident.LevelMedium
	}
	return incident.LevelLow
}

// isSample reports whether the finding is a sample that GuardDuty generated on request.
func (f *finding) isSample() bool {
	info := f.Service.AdditionalInfo.fields()
	if value, ok := info["value"].(string); ok { // a string that contains JSON
		if strings.Contains(value, `"sample":true`) {
			return true
		}
	}
	marked, _ := info["sample"].(bool)
	return marked || strings.HasPrefix(string(f.Title), "[SAMPLE]")
}
