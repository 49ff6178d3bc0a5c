using System.Text.Json;
using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints.Schemas;

internal sealed partial class SchemaCompiler
{
    /// <summary>Any value.</summary>
    private Term Any(int depth)
    {
        if (!_any.TryGetValue(depth, out Term? term))
        {
            _any[depth] = term = Pool.Choice(
                _json.Boolean, _json.Null, _json.Number,
                Pool.Sequence(_json.Quote, _json.Text.Of(0, null), _json.Quote),
                Container(depth, FreeObject), Container(depth, inner => List([], Any(inner), 0, null)));
        }

        return term;
    }

    /// <summary>What nests takes a level; without one left it cannot be written.</summary>
    private Term Container(int depth, Func<int, Term> make) => depth == 0 ? Pool.Fail : make(depth - 1);

    private Term FreeObject(int depth) => Properties([], Pool.Sequence(_json.OtherKey([]), Any(depth)));

    private Term Object(SchemaNode node, int depth)
    {
        List<string> required = [];
        if (node.TryGet("required", out SchemaNode names))
        {
            required.AddRange(names.Items("a list of names").Select(name => name.Text("a name")));
        }

        List<(string Name, Term Value, bool Required)> properties = [.. node.Members("properties").Select(member => (member.Name, Value(member.Node, depth), required.Contains(member.Name)))];
        if (properties.Count + required.Count > MostProperties)
        {
            throw node.Error($"the object has {properties.Count} properties and {required.Count} required names; at most {MostProperties} together are supported");
        }

        string[] declared = [.. properties.Select(property => property.Name)];

        // Without declared properties an object is free; with them, others come only where the schema speaks of them.
        bool speaks = node.TryGet("additionalProperties", out SchemaNode additional);
        Term others = speaks ? Value(additional, depth) : Any(depth);
        properties.AddRange(required.Distinct().Except(declared).Select(name => (name, others, true)));
        Term other = speaks || properties.Count == 0 ? Pool.Sequence(_json.OtherKey(properties.Select(property => property.Name)), others) : Pool.Fail;
        return Properties(properties, other);
    }

    /// <summary>Properties in their order, optional ones or not, then any number of others.</summary>
    private Term Properties(List<(string Name, Term Value, bool Required)> properties, Term other)
    {
        // From the back: what follows where nothing was written yet, and where something was.
        Term close = Pool.Sequence(_json.Break, Pool.Byte((byte)'}'));
        Term rest = Pool.Sequence(Pool.Repeat(Pool.Sequence(_json.Comma, other), 0, null), close);
        Term first = Pool.Choice(close, Pool.Sequence(_json.Break, other, rest));
        for (int i = properties.Count - 1; i >= 0; i--)
        {
            (string name, Term value, bool isRequired) = properties[i];
            Term pair = Pool.Sequence(_json.Key(name), value);
            first = Pool.Choice(Pool.Sequence(_json.Break, pair, rest), isRequired ? Pool.Fail : first);
            rest = Pool.Choice(Pool.Sequence(_json.Comma, pair, rest), isRequired ? Pool.Fail : rest);
        }

        return Pool.Sequence(Pool.Byte((byte)'{'), first);
    }

    private Term Array(SchemaNode node, int depth)
    {
        Term[] leading = node.TryGet("prefixItems", out SchemaNode list) ? [.. list.Items("a list of schemas").Select(item => Value(item, depth))] : [];
        Term others = node.TryGet("items", out SchemaNode items) ? Value(items, depth) : leading.Length > 0 ? Pool.Fail : Any(depth);
        return List(leading, others, node.Count("minItems", 0)!.Value, node.Count("maxItems", null));
    }

    /// <summary>A list whose first elements may each have a schema of their own.</summary>
    private Term List(Term[] leading, Term other, int least, int? most)
    {
        int count = leading.Length;
        Term close = Pool.Sequence(_json.Break, Pool.Byte((byte)']'));
        Term next = Pool.Sequence(_json.Comma, other);
        Term rest;
        if (count == 0)
        {
            Term some = most == 0 ? Pool.Fail : Pool.Sequence(_json.Break, other, Pool.Repeat(next, Math.Max(0, least - 1), most - 1), close);
            rest = Pool.Choice(least == 0 ? close : Pool.Fail, some);
        }
        else
        {
            rest = most < count ? Pool.Fail : Pool.Sequence(Pool.Repeat(next, Math.Max(0, least - count), most - count), close);
        }

        for (int i = count - 1; i >= 0; i--)
        {
            rest = Pool.Choice(
                i >= least && (most is null || i <= most) ? close : Pool.Fail,
                most <= i ? Pool.Fail : Pool.Sequence(i == 0 ? _json.Break : _json.Comma, leading[i], rest));
        }

        return Pool.Sequence(Pool.Byte((byte)'['), rest);
    }
}
