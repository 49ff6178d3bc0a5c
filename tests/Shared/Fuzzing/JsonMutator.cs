using System.Text;
using System.Text.Json.Nodes;

namespace LongCat.ML.TestShared.Fuzzing;

/// <summary>Changes JSON where it hurts: values of another type or at a limit, keys that go, come twice or change places, and now and then a byte.</summary>
internal static class JsonMutator
{
    private static readonly string[] s_values =
    [
        "null", "true", "false", "0", "-0", "1", "-1", "2", "3", "7", "16", "255", "256", "65536", "2147483647", "2147483648", "-2147483648", "4294967296", "9223372036854775807",
        "9223372036854775808", "-9223372036854775808", "1e308", "1e309", "-1e308", "1e-320", "0.5", "1.0", "123456789012345678901234567890", "\"\"", "\"a\"", "\" \"", "\"1\"", "\"null\"",
        "\"\\u0000\"", "\"\\ud800\"", "\"\\ud83d\\ude00\"", "\"../x\"", "\"/\"", "\"C:\\\\x\"", "[]", "{}", "[[]]", "[null]", "[0,1,2,3]", "{\"\":0}", "{\"type\":\"x\"}", "\"<0x41>\"", "\"▁\"",
    ];

    /// <summary>One to four changes of a document.</summary>
    /// <param name="json">Well-formed JSON.</param>
    /// <param name="random">Decides.</param>
    /// <param name="deepest">How deep a nest may be put in.</param>
    /// <returns>The bytes of what became of it.</returns>
    public static byte[] Mutate(string json, Random random, int deepest = 100)
    {
        StringBuilder text = new(json);
        for (int changes = random.Next(1, 5); changes > 0; changes--)
        {
            try
            {
                JsonNode root = JsonNode.Parse(text.ToString(), documentOptions: new System.Text.Json.JsonDocumentOptions { MaxDepth = 200 })!;
                string changed = ChangeNode(root, random, deepest);
                text.Clear().Append(changed);
            }
            catch (Exception error) when (error is System.Text.Json.JsonException or ArgumentException or InvalidOperationException or NullReferenceException)
            {
                // A change before this one made what cannot be changed further: a doubled key, half a surrogate, nothing at all.
                break;
            }
        }

        byte[] bytes = Encoding.UTF8.GetBytes(text.ToString());
        return random.Next(5) == 0 ? ByteMutator.Mutate(bytes, random) : bytes;
    }

    private static string ChangeNode(JsonNode root, Random random, int deepest)
    {
        // A marker is put in as a text and replaced in the JSON: so numbers beyond all ranges and doubled keys can be written.
        const string Marker = "@@marker@@";
        List<JsonNode> containers = [];
        Collect(root, containers);
        if (containers.Count == 0)
        {
            return s_values[random.Next(s_values.Length)];
        }

        JsonNode container = containers[random.Next(containers.Count)];
        string value = s_values[random.Next(s_values.Length)];
        if (random.Next(40) == 0)
        {
            int depth = random.Next(1, deepest);
            value = new string('[', depth) + new string(']', depth);
        }
        else if (random.Next(60) == 0)
        {
            value = '"' + new string('x', random.Next(10_000)) + '"';
        }

        if (container is JsonObject map)
        {
            string[] keys = [.. map.Select(entry => entry.Key)];
            string? key = keys.Length > 0 ? keys[random.Next(keys.Length)] : null;
            switch (random.Next(8))
            {
                case 0 when key is not null:
                    map.Remove(key);
                    break;
                case 1 when key is not null:
                    JsonNode? moved = map[key]?.DeepClone();
                    map.Remove(key);
                    map[key + (random.Next(2) == 0 ? "_" : "\u0000")] = moved;
                    break;
                case 2 when key is not null:
                    string other = keys[random.Next(keys.Length)];
                    (JsonNode? a, JsonNode? b) = (map[key]?.DeepClone(), map[other]?.DeepClone());
                    map[key] = b;
                    map[other] = a;
                    break;
                case 3:
                    map[Marker] = key is null ? null : map[key]?.DeepClone();
                    return root.ToJsonString(s_options).Replace(Marker, key ?? "x", StringComparison.Ordinal);
                default:
                    map[key ?? "x"] = Marker;
                    break;
            }
        }
        else
        {
            JsonArray list = container.AsArray();
            int at = list.Count == 0 ? 0 : random.Next(list.Count);
            switch (random.Next(6))
            {
                case 0 when list.Count > 0:
                    list.RemoveAt(at);
                    break;
                case 1 when list.Count > 0:
                    list.Insert(random.Next(list.Count), list[at]?.DeepClone());
                    break;
                case 2:
                    list.Add(Marker);
                    break;
                case 3 when list.Count > 0:
                    for (int copies = random.Next(200); copies > 0; copies--)
                    {
                        list.Add(list[at]?.DeepClone());
                    }

                    break;
                default:
                    if (list.Count > 0)
                    {
                        list[at] = Marker;
                    }

                    break;
            }
        }

        return root.ToJsonString(s_options).Replace('"' + Marker + '"', value, StringComparison.Ordinal);
    }

    private static readonly System.Text.Json.JsonSerializerOptions s_options = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping, MaxDepth = 300 };

    private static void Collect(JsonNode? node, List<JsonNode> containers)
    {
        if (node is JsonObject map)
        {
            containers.Add(map);
            foreach ((_, JsonNode? value) in map)
            {
                Collect(value, containers);
            }
        }
        else if (node is JsonArray list)
        {
            containers.Add(list);
            foreach (JsonNode? value in list)
            {
                Collect(value, containers);
            }
        }
    }
}
