package cloudtrail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// finding is a GuardDuty finding. EventBridge writes its keys in camel case and the
// API in Pascal case. Keys match in any case.
type finding struct {
	AccountID   text.Flex `json:"accountId"`
	Region      text.Flex `json:"region"`
	Partition   text.Flex `json:"partition"`
	ID          text.Flex `json:"id"`
	Type        text.Flex `json:"type"`
	Title       text.Flex `json:"title"`
	Description text.Flex `json:"description"`
	Severity    text.Flex `json:"severity"`
	UpdatedAt   text.Flex `json:"updatedAt"`
	CreatedAt   text.Flex `json:"createdAt"`
	Service     struct {
		Archived       bool      `json:"archived"`
		Count          text.Flex `json:"count"`
		FirstSeen      text.Flex `json:"eventFirstSeen"`
		LastSeen       text.Flex `json:"eventLastSeen"`
		AdditionalInfo object    `json:"additionalInfo"`
		Action         struct {
			APICall struct {
				API      text.Flex `json:"api"`
				Service  text.Flex `json:"serviceName"`
				RemoteIP remote    `json:"remoteIpDetails"`
			} `json:"awsApiCallAction"`
			Connection struct {
				RemoteIP remote `json:"remoteIpDetails"`
			} `json:"networkConnectionAction"`
			DNS struct {
				Domain text.Flex `json:"domain"`
			} `json:"dnsRequestAction"`
		} `json:"action"`
	} `json:"service"`
	Resource struct {
		Type      text.Flex `json:"resourceType"`
		AccessKey struct {
			UserName    text.Flex `json:"userName"`
			UserType    text.Flex `json:"userType"`
			PrincipalID text.Flex `json:"principalId"`
			AccessKeyID text.Flex `json:"accessKeyId"`
		} `json:"accessKeyDetails"`
		Instance struct {
			ID text.Flex `json:"instanceId"`
		} `json:"instanceDetails"`
		Buckets []struct {
			Name text.Flex `json:"name"`
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
	V4 text.Flex `json:"ipAddressV4"`
	V6 text.Flex `json:"ipAddressV6"`
}

// isComplete reports whether the required fields of a finding are set. EventBridge says
// what it sends, so the type suffices.
func (f *finding) isComplete(detailType text.Flex) bool {
	return f.Type != "" && (f.ID != "" && f.Severity != "" || detailType == guardDutyFinding)
}

// guardDutyFinding is the detail-type of a finding.
const guardDutyFinding = "GuardDuty Finding"

// alert converts a finding. All updates of a finding have one fingerprint and count as
// occurrences of one alert.
func (f *finding) alert() incident.Alert {
	if f.ID == "" {
		f.ID = text.Flex(text.SHA256(text.Join("|", f.Type, f.Title, f.Resource.Type, f.Resource.AccessKey.UserName, f.Resource.Instance.ID))[:16])
	}
	subject, key := f.subject()
	api := f.Service.Action.APICall
	a := incident.Alert{
		Source: sourceName, Kind: "guardduty." + string(f.Type), Level: f.level(), Rule: "guardduty/" + string(f.Type),
		Title: firstNonEmpty(f.Title, "GuardDuty finding "+f.Type),
		Detail: text.Join("\n", f.Description, text.Field("Type", f.Type), text.Field("Severity", f.Severity), text.Field("Resource", text.Flex(text.Join(" ", f.Resource.Type, text.Flex(subject)))),
			text.Field("API", text.Flex(text.Join(" ", api.Service, api.API))), text.Field("Domain", f.Service.Action.DNS.Domain), text.Field("Access key", f.Resource.AccessKey.AccessKeyID),
			text.Field("First seen", f.Service.FirstSeen), text.Field("Last seen", f.Service.LastSeen), text.Field("Count", f.Service.Count), unreadTime(f.UpdatedAt, f.Service.LastSeen, f.CreatedAt)),
		Fingerprint: "guardduty|" + string(f.AccountID) + "|" + string(f.ID),
		Correlation: "cloudtrail:" + string(f.AccountID) + ":" + key,
		EventID:     string(f.ID), At: text.Timestamp(f.UpdatedAt, f.Service.LastSeen, f.CreatedAt),
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
	return text.Join("|", "guardduty", f.ID, f.UpdatedAt, f.Service.Count)
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
