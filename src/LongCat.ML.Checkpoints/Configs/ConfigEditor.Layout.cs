using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints;

public sealed partial class ConfigEditor
{
    /// <summary>How a text sets its members: what stands before a name, between a name and its value, and how deep a level is indented.</summary>
    private sealed record Layout(string Separator, string Colon)
    {
        public static Layout Of(byte[] text, List<Member> members)
        {
            if (members.Count == 0)
            {
                return new Layout("\n  ", ": ");
            }

            // Between members as they stand; a single member says it with what follows the brace.
            Member first = members[0];
            int from = members.Count > 1 ? Array.IndexOf(text, (byte)',', first.End) + 1 : Array.IndexOf(text, (byte)'{') + 1;
            int to = members.Count > 1 ? members[1].Start : first.Start;
            string between = Encoding.UTF8.GetString(text.AsSpan(first.AfterName, first.Value - first.AfterName));
            return new Layout(Encoding.UTF8.GetString(text.AsSpan(from, to - from)), between);
        }

        public string Format(JsonNode? value)
        {
            int line = Separator.LastIndexOf('\n');
            bool indented = line >= 0;
            string indent = indented ? Separator[(line + 1)..] : "";
            bool tabs = indent.Length > 0 && indent.All(c => c == '\t');
            JsonSerializerOptions options = new(JsonSerializerOptions.Default)
            {
                Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
                WriteIndented = indented,
                IndentCharacter = tabs ? '\t' : ' ',
                IndentSize = Math.Clamp(indent.Length, tabs ? 1 : 2, 8),
                NewLine = "\n",
            };

            // A line feed in a JSON text is always between tokens.
            string newLine = Separator.Contains("\r\n", StringComparison.Ordinal) ? "\r\n" : "\n";
            return (value?.ToJsonString(options) ?? "null").Replace("\n", newLine + indent, StringComparison.Ordinal);
        }
    }
}
