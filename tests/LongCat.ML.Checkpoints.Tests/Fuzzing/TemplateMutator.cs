using System.Text;

namespace LongCat.ML.Checkpoints.Tests.Fuzzing;

/// <summary>Makes templates of templates: stretches of tokens go, come twice, or come from another one.</summary>
internal sealed class TemplateMutator(string[] templates)
{
    private static readonly string[] s_words =
    [
        "{{", "}}", "{%", "%}", "{%-", "-%}", "{#", "#}", "{% raw %}", "{% endraw %}", "{% if x %}", "{% else %}", "{% endif %}", "{% for a in b %}", "{% endfor %}", "{% set a %}", "{% endset %}", "for", "in", "if",
        "else", "is", "not", "and", "or", "recursive", "loop", "loop(x)", "(", ")", "[", "]", "{", "}", "|", ".", ":", ",", "=", "==", "~", "+", "-", "*", "**", "/", "//", "%", "'", "\"", "\\", "1", "0", "-1", "9223372036854775807",
        "1e308", "99999", "messages", "d", "xs", "s", "u", "missing", "none", "true", "'a'", "''", "namespace()", "range(100000)", "range(3)", ".items()", ".split(',')", "|tojson", "|list", "|length", "|sort", "|map('upper')",
        "|join(xs)", "|replace('', s)", "|indent(9999)", "|default(s)", "[::-1]", "[1:]", ".center(99999)", "*99999", "{% macro m(a) %}", "{% endmacro %}", "{{ m(1) }}", "\n", " ", "é", "😀", "\uD800", "\0",
    ];

    public byte[] Mutate(Random random)
    {
        List<string> tokens = Tokens(templates[random.Next(templates.Length)]);
        for (int changes = random.Next(1, 4); changes > 0; changes--)
        {
            int at = random.Next(tokens.Count + 1), length = Math.Min(random.Next(1, 8), tokens.Count - at);
            switch (random.Next(6))
            {
                case 0:
                    tokens.RemoveRange(at, length);
                    break;
                case 1:
                    List<string> copy = tokens.GetRange(at, length);
                    for (int times = random.Next(1, 4); times > 0; times--)
                    {
                        tokens.InsertRange(at, copy);
                    }

                    break;
                case 2:
                    List<string> other = Tokens(templates[random.Next(templates.Length)]);
                    int from = random.Next(other.Count + 1);
                    tokens.InsertRange(at, other.GetRange(from, Math.Min(random.Next(1, 30), other.Count - from)));
                    break;
                case 3 when tokens.Count > 0:
                    tokens[Math.Min(at, tokens.Count - 1)] = s_words[random.Next(s_words.Length)];
                    break;
                default:
                    tokens.Insert(at, s_words[random.Next(s_words.Length)]);
                    break;
            }
        }

        return Encoding.UTF8.GetBytes(string.Concat(tokens));
    }

    /// <summary>Words, numbers, white space, tags and single characters.</summary>
    private static List<string> Tokens(string template)
    {
        List<string> tokens = [];
        for (int start = 0; start < template.Length;)
        {
            int end = start + 1;
            if (char.IsLetterOrDigit(template[start]))
            {
                while (end < template.Length && char.IsLetterOrDigit(template[end]))
                {
                    end++;
                }
            }
            else if (end < template.Length && template.AsSpan(start, 2) is "{{" or "}}" or "{%" or "%}" or "{#" or "#}")
            {
                end++;
            }

            tokens.Add(template[start..end]);
            start = end;
        }

        return tokens;
    }
}
