package expression

import "github.com/expr-lang/expr/ast"

// function returns the bound of the result of a function and charges its cost.
func (e *estimator) function(n *ast.BuiltinNode) value {
	if len(n.Arguments) > 0 {
		if _, ok := n.Arguments[len(n.Arguments)-1].(*ast.PredicateNode); ok {
			return e.predicate(n)
		}
	}
	args := make([]value, 0, len(n.Arguments))
	for _, argument := range n.Arguments {
		args = append(args, e.visit(argument))
	}
	e.charge(memberSteps)
	if len(args) == 0 || e.exceeded() {
		return number
	}
	switch {
	case isFunction(n.Name, "trim trimPrefix trimSuffix upper lower split replace join indexOf lastIndexOf hasPrefix hasSuffix toBase64 fromBase64 fromJSON"):
		return e.textFunction(n.Name, args)
	case isFunction(n.Name, "len int float"):
		e.charge(product(textOf(args[0]), 2))
		return number
	case isFunction(n.Name, "type abs ceil floor round"):
		return scalar(elementSize)
	}
	return e.deepFunction(n.Name, args)
}

// predicate charges a function with a predicate, such as any.
func (e *estimator) predicate(n *ast.BuiltinNode) value {
	list := e.visit(n.Arguments[0])
	body := n.Arguments[len(n.Arguments)-1]
	result := value{scalar: true}
	outer := e.element
	defer func() { e.element = outer }()
	each := func(element value) {
		e.element = element
		e.charge(elementSteps)
		result = join(result, e.bound(e.visit(body)))
	}
	var elements int
	switch v := list.v.(type) {
	case []any:
		elements = len(v)
		for k := 0; k < elements && !e.exceeded(); k++ {
			each(known(v[k]))
		}
	case []string:
		elements = len(v)
		for k := 0; k < elements && !e.exceeded(); k++ {
			each(known(v[k]))
		}
	default:
		element := e.bound(list)
		elements = element.list
		before := e.steps
		each(element)
		once := e.steps - before
		e.steps = before
		e.charge(product(elements, once))
	}
	switch n.Name {
	case "map":
		return value{text: result.text, total: product(elements+1, result.total+elementSize), list: max(elements, result.list)}
	case "filter", "find", "findLast":
		return e.bound(list)
	}
	return number
}

// textFunction charges a function on a text.
func (e *estimator) textFunction(name string, args []value) value {
	text := textOf(args[0])
	second, third := 0, 0
	if len(args) > 1 {
		second = textOf(args[1])
	}
	if len(args) > 2 {
		third = textOf(args[2])
	}
	switch name {
	case "upper", "lower":
		e.charge(product(text, caseSteps))
		return scalar(product(text, 3)) // an invalid byte becomes three
	case "trim":
		e.charge(product(text, 5+second))
	case "trimPrefix", "trimSuffix", "hasPrefix", "hasSuffix":
		e.charge(min(text, second))
	case "split":
		e.search(args[0], scalar(second))
		e.charge(product(text, pieceSteps))
		return value{text: text, total: product(text+2, elementSize+1), list: text + 1}
	case "replace":
		e.search(args[0], scalar(second))
		out := product(text+1, 1+third)
		e.charge(out + product(text, pieceSteps))
		return scalar(out)
	case "join":
		list := e.bound(args[0])
		out := min(list.total+product(list.list, second), maxSize)
		e.charge(product(out, 2) + product(list.list, elementSteps))
		return scalar(out)
	case "indexOf", "lastIndexOf":
		e.search(args[0], scalar(second))
		return number
	case "toBase64", "fromBase64":
		e.charge(product(text, 6))
		return scalar(product(text, 2) + 4)
	case "fromJSON":
		e.charge(product(text, 200))
		return value{text: product(text, 3), total: product(text+1, elementSize+3), list: text}
	}
	return scalar(text)
}

// deepFunction charges a function on a list or map.
func (e *estimator) deepFunction(name string, args []value) value {
	all := value{scalar: true}
	for _, arg := range args {
		all = join(all, e.bound(arg))
	}
	switch name {
	case "first", "last", "get", "take":
		if item, ok := element(name, args); ok {
			return known(item)
		}
		return all
	case "keys", "values":
		e.charge(product(all.list, 3*elementSteps))
		return all
	case "string":
		e.charge(product(all.total, deepSteps))
		return scalar(product(all.total, 4))
	case "toJSON":
		e.charge(product(all.total, 20*deepSteps))
		return scalar(product(all.total, 200)) // each line is indented
	}
	e.charge(product(len(args), product(all.total, deepSteps)))
	return number
}

// element returns the result of first, last or get, and whether it is known.
func element(name string, args []value) (any, bool) {
	switch {
	case !args[0].known:
	case name == "first":
		return fetch(args[0].v, 0)
	case name == "last":
		return fetch(args[0].v, -1)
	case name == "get" && len(args) == 2 && args[1].known:
		return fetch(args[0].v, args[1].v)
	}
	return nil, false
}
