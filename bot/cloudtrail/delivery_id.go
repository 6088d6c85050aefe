package cloudtrail

import (
	"tocsin/bot/detect"
	"tocsin/bot/text"
)

// ids are the fields that identify an item.
type ids struct {
	ID        text.Flex `json:"id"`
	UpdatedAt text.Flex `json:"updatedAt"`
	EventID   text.Flex `json:"eventID"`
	Account   text.Flex `json:"recipientAccountId"`
	Service   struct {
		Count text.Flex `json:"count"`
	} `json:"service"`
}

var (
	idFields   = detect.NewFields("id", "updatedAt", "eventID", "recipientAccountId", "service", "detail")
	countField = detect.NewFields("count")
)

// read reads the fields of an item and returns its detail.
func (i *ids) read(v detect.Value) (detail detect.Value) {
	texts := [...]*text.Flex{&i.ID, &i.UpdatedAt, &i.EventID, &i.Account}
	for key, member := range v.Members() {
		switch n := idFields.Index(key); {
		case n < 0:
		case n < len(texts):
			*texts[n] = text.Flex(member.Text())
		case idFields.Name(n) == "detail":
			detail = member
		default:
			for key, count := range member.Members() {
				if countField.Index(key) == 0 {
					i.Service.Count = text.Flex(count.Text())
				}
			}
		}
	}
	return detail
}

// deliveryID returns the ID of a delivery, or "". The ID of a record consists of the
// recipient account and the eventID, which is unique within the account. A record
// from EventBridge and from a log file is therefore one delivery. A finding has the ID
// of its envelope. A bare finding has its ID, its update and its count.
func deliveryID(body []byte) string {
	r := detect.AcquireRecord()
	defer r.Release()
	var v struct {
		ids
		Detail *ids `json:"detail"`
	}
	if item := r.DecodeItem(body); item.Record == nil {
		if decode(body, &v) != nil {
			return ""
		}
	} else if detail := v.read(r.Root()); !detail.IsNull() {
		v.Detail = new(ids)
		v.Detail.read(detail)
	}
	switch {
	case v.Detail != nil && v.Detail.EventID != "": // without the envelope's ID, which differs between paths
		return text.Join("/", v.Detail.Account, v.Detail.EventID)
	case v.Detail != nil && v.ID != "":
		return text.Join("/", v.ID, v.Detail.EventID, v.Detail.ID, v.Detail.UpdatedAt)
	case v.EventID != "":
		return text.Join("/", v.Account, v.EventID)
	case v.ID != "" && v.UpdatedAt != "":
		return text.Join("/", v.ID, v.UpdatedAt, v.Service.Count)
	}
	return ""
}
