package cloudtrail

import (
	"fmt"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// finding is a GuardDuty finding. EventBridge writes its keys in camel case and
// the API in Pascal case; keys match without regard to case.
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

type remote struct {
	V4 text `json:"ipAddressV4"`
	V6 text `json:"ipAddressV6"`
}

// alert normalises a finding. Repeats of a finding keep its id: they are copies.
func (f *finding) alert() incident.Alert {
	who, key := f.subject()
	api := f.Service.Action.APICall
	a := incident.Alert{
		Source: sourceName, Kind: "guardduty." + string(f.Type), Level: f.level(), Rule: "guardduty/" + string(f.Type),
		Title: firstNonEmpty(f.Title, "GuardDuty finding "+f.Type),
		Detail: joinNonEmpty("\n", f.Description, field("Type", f.Type), field("Severity", f.Severity), field("Resource", text(joinNonEmpty(" ", f.Resource.Type, text(who)))),
			field("API", text(joinNonEmpty(" ", api.Service, api.API))), field("Domain", f.Service.Action.DNS.Domain), field("Access key", f.Resource.AccessKey.AccessKeyID),
			field("First seen", f.Service.FirstSeen), field("Last seen", f.Service.LastSeen), field("Count", f.Service.Count)),
		Fingerprint: "guardduty|" + string(f.AccountID) + "|" + string(f.ID),
		Correlation: "cloudtrail:" + string(f.AccountID) + ":" + key,
		EventID:     string(f.ID), At: parseTime(text(firstNonEmpty(f.UpdatedAt, f.Service.LastSeen, f.CreatedAt))),
		Account: string(f.AccountID), Region: string(f.Region), Principal: who,
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

// version names a finding as it is told now: told again it is the same, with a
// later update or a higher count it is news of it. It goes to the bus of its own
// account and to that of the administrator.
func (f *finding) version() string {
	if f.UpdatedAt == "" {
		return ""
	}
	return joinNonEmpty("|", "guardduty", f.ID, f.UpdatedAt, f.Service.Count)
}

// subject is whom or what the finding is about, named as principal names the
// same identity in a record.
func (f *finding) subject() (shown, key string) {
	partition := firstNonEmpty(f.Partition, "aws")
	key0 := f.Resource.AccessKey
	switch {
	case key0.UserType == "Root":
		return fmt.Sprintf("arn:%s:iam::%s:root", partition, f.AccountID), "root"
	case key0.UserName != "" && (key0.UserType == "AssumedRole" || key0.UserType == "Role"):
		return fmt.Sprintf("arn:%s:iam::%s:role/%s", partition, f.AccountID, key0.UserName), "role/" + string(key0.UserName)
	case key0.UserName != "":
		return fmt.Sprintf("arn:%s:iam::%s:user/%s", partition, f.AccountID, key0.UserName), "user/" + string(key0.UserName)
	case key0.PrincipalID != "":
		id, _, _ := strings.Cut(string(key0.PrincipalID), ":")
		return id, "principal/" + id
	case f.Resource.Instance.ID != "":
		return string(f.Resource.Instance.ID), "instance/" + string(f.Resource.Instance.ID)
	case len(f.Resource.Buckets) > 0 && f.Resource.Buckets[0].Name != "":
		return string(f.Resource.Buckets[0].Name), "bucket/" + string(f.Resource.Buckets[0].Name)
	}
	return firstNonEmpty(f.Resource.Type, "unknown"), "finding/" + string(f.ID)
}

// level follows GuardDuty's bands. What a suppression rule archived is only noted.
func (f *finding) level() incident.Level {
	severity, err := strconv.ParseFloat(string(f.Severity), 64)
	switch {
	case f.Service.Archived:
		return incident.LevelInformational
	case err != nil:
		return incident.LevelMedium // it is a finding, whatever its severity says
	case severity >= 9:
		return incident.LevelCritical
	case severity >= 7:
		return incident.LevelHigh
	case severity >= 4:
		return incident.LevelMedium
	}
	return incident.LevelLow
}

// isSample reports a finding that GuardDuty made up on request.
func (f *finding) isSample() bool {
	info := f.Service.AdditionalInfo.fields()
	if value, ok := info["value"].(string); ok { // {"type", "value"} with JSON in a string
		if strings.Contains(value, `"sample":true`) {
			return true
		}
	}
	marked, _ := info["sample"].(bool)
	return marked || strings.HasPrefix(string(f.Title), "[SAMPLE]")
}
