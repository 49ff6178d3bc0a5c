using System.Globalization;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Unicode normalization forms C and D (UAX #15) from a table of this package. <see cref="string.Normalize()"/> is not used: it needs ICU, and
/// leaves text as it is in globalization-invariant applications, where token ids would silently differ. Lone surrogates pass unchanged. Thread-safe.
/// </summary>
internal static class CanonicalNormalization
{
    private const int SBase = 0xAC00, LBase = 0x1100, VBase = 0x1161, TBase = 0x11A7, LCount = 19, VCount = 21, TCount = 28, SCount = LCount * VCount * TCount;

    private static readonly Lazy<Tables> s_tables = new(Tables.Read);

    /// <summary>Canonical decomposition.</summary>
    public static string Decompose(string text) => NeedsNothing(text) ? text : Write(Decomposed(text));

    /// <summary>Canonical decomposition followed by canonical composition.</summary>
    public static string Compose(string text)
    {
        if (NeedsNothing(text))
        {
            return text;
        }

        List<int> points = Decomposed(text);
        ComposeInPlace(points);
        return Write(points);
    }

    /// <summary>Nothing below U+00C0 decomposes or combines.</summary>
    private static bool NeedsNothing(string text) => !text.AsSpan().ContainsAnyExceptInRange('\0', '\u00BF');

    private static List<int> Decomposed(string text)
    {
        Tables tables = s_tables.Value;
        List<int> points = new(text.Length + 8);
        for (int i = 0; i < text.Length; i++)
        {
            int point = text[i];
            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                point = char.ConvertToUtf32(text[i], text[++i]);
            }

            Append(point, tables, points);
        }

        Order(points, tables);
        return points;
    }

    private static void Append(int point, Tables tables, List<int> points)
    {
        if (point is >= SBase and < SBase + SCount)
        {
            int index = point - SBase;
            points.Add(LBase + (index / (VCount * TCount)));
            points.Add(VBase + (index % (VCount * TCount) / TCount));
            if (index % TCount != 0)
            {
                points.Add(TBase + (index % TCount));
            }
        }
        else if (tables.Decompositions.TryGetValue(point, out (int First, int Second) parts))
        {
            Append(parts.First, tables, points);
            if (parts.Second >= 0)
            {
                Append(parts.Second, tables, points);
            }
        }
        else
        {
            points.Add(point);
        }
    }

    /// <summary>Puts each run of combining marks in the order of their classes; equal classes keep theirs.</summary>
    private static void Order(List<int> points, Tables tables)
    {
        for (int start = 0; start < points.Count; start++)
        {
            if (tables.Class(points[start]) == 0)
            {
                continue;
            }

            int end = start + 1;
            while (end < points.Count && tables.Class(points[end]) != 0)
            {
                end++;
            }

            if (end - start > 1)
            {
                int[] run = [.. points.GetRange(start, end - start).OrderBy(tables.Class)];
                for (int i = 0; i < run.Length; i++)
                {
                    points[start + i] = run[i];
                }
            }

            start = end;
        }
    }

    private static void ComposeInPlace(List<int> points)
    {
        Tables tables = s_tables.Value;
        int starter = -1, write = 0, lastClass = 0;
        for (int read = 0; read < points.Count; read++)
        {
            int point = points[read], combining = tables.Class(point);

            // A mark composes with the last starter unless a mark of the same or a higher class (or another starter) stands between.
            bool adjacent = starter == write - 1;
            if (starter >= 0 && (adjacent || (lastClass != 0 && lastClass < combining)) && TryCompose(points[starter], point, tables, out int composed))
            {
                points[starter] = composed;
                continue;
            }

            points[write] = point;
            if (combining == 0)
            {
                starter = write;
            }

            lastClass = combining;
            write++;
        }

        points.RemoveRange(write, points.Count - write);
    }

    private static bool TryCompose(int first, int second, Tables tables, out int composed)
    {
        if (first is >= LBase and < LBase + LCount && second is >= VBase and < VBase + VCount)
        {
            composed = SBase + ((((first - LBase) * VCount) + (second - VBase)) * TCount);
            return true;
        }

        if (first is >= SBase and < SBase + SCount && (first - SBase) % TCount == 0 && second is > TBase and < TBase + TCount)
        {
            composed = first + (second - TBase);
            return true;
        }

        return tables.Compositions.TryGetValue((first, second), out composed);
    }

    private static string Write(List<int> points)
    {
        StringBuilder text = new(points.Count + 8);
        foreach (int point in points)
        {
            if (point > char.MaxValue)
            {
                text.Append(char.ConvertFromUtf32(point));
            }
            else
            {
                text.Append((char)point);
            }
        }

        return text.ToString();
    }

    private sealed class Tables
    {
        private readonly Dictionary<int, byte> _classes = [];

        public Dictionary<int, (int First, int Second)> Decompositions { get; } = [];

        public Dictionary<(int First, int Second), int> Compositions { get; } = [];

        public static Tables Read()
        {
            const string Name = "LongCat.ML.Checkpoints.canonical-normalization.txt";
            using Stream stream = typeof(Tables).Assembly.GetManifestResourceStream(Name)
                ?? throw new InvalidOperationException($"The resource {Name} is missing from the assembly.");
            using StreamReader reader = new(stream);
            Tables tables = new();
            while (reader.ReadLine() is { } line)
            {
                string[] parts = line.Split(' ');
                if (parts[0] == "c")
                {
                    for (int point = Hex(parts[1]); point <= Hex(parts[2]); point++)
                    {
                        tables._classes[point] = byte.Parse(parts[3], CultureInfo.InvariantCulture);
                    }
                }
                else if (parts[0] is "d" or "x")
                {
                    (int, int) pair = (Hex(parts[2]), parts.Length > 3 ? Hex(parts[3]) : -1);
                    tables.Decompositions[Hex(parts[1])] = pair;
                    if (parts[0] == "d")
                    {
                        tables.Compositions[pair] = Hex(parts[1]);
                    }
                }
            }

            return tables;
        }

        public int Class(int point) => point < 0x300 ? 0 : _classes.GetValueOrDefault(point);

        private static int Hex(string digits) => int.Parse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }
}
