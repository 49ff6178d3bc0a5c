namespace LongCat.ML.Benchmarks;

/// <summary>The command line.</summary>
internal sealed record BenchmarkOptions(bool Quick, bool Save, IReadOnlyList<string> Parts)
{
    public const string Usage = """
        usage: ./run bench [--quick] [--only PART] [--save]

          --quick   small models and few repetitions: shows that everything runs, the figures mean little
          --only    one part; may be repeated: engine, matmul, ngram, mlnet, start (all five where none is named),
                    or w4a8, w4a8-experts, w4a8-engine, adapters, quality, quality-fixtures, lora, lora-longer, lora-cost, lora-throughput, attention, zigzag, zigzag-quality, million, sparse-verification, heavy-thinking, batch,
                    speculation,
                    which run only when they are named
          --save    write results/<cpu>-<cores>.json and .md, or -<part> for one of those that are named; refused on a busy machine, with --quick and for single
                    parts of the first five
        """;

    private static readonly string[] General = ["engine", "matmul", "ngram", "mlnet", "start"];
    private static readonly string[] Named = ["w4a8", "w4a8-experts", "w4a8-engine", "adapters", "quality", "quality-fixtures", "lora", "lora-longer", "lora-cost", "lora-throughput", "attention", "zigzag", "zigzag-quality", "million", "sparse-verification", "heavy-thinking", "batch", "speculation"];

    /// <summary>Timed repetitions of a case.</summary>
    public int Repetitions => Quick ? 2 : 5;

    /// <summary>What the names of the files of results end with.</summary>
    public string Suffix => Parts is [string only] && Named.Contains(only) ? $"-{only}" : "";

    /// <summary>Timed repetitions of a case that may take minutes.</summary>
    public int RepetitionsOf(bool slow) => slow ? Math.Min(Repetitions, 2) : Repetitions;

    /// <exception cref="ArgumentException">The message says what is wrong.</exception>
    public static BenchmarkOptions Parse(string[] args)
    {
        bool quick = args.Contains("--quick"), save = args.Contains("--save");
        string[] rest = [.. args.Where(arg => arg is not ("--quick" or "--save"))], parts = [.. rest.Where((_, i) => i % 2 == 1)];
        if (rest.Where((arg, i) => i % 2 == 0 ? arg != "--only" : !General.Contains(arg) && !Named.Contains(arg)).FirstOrDefault() is { } wrong)
        {
            throw new ArgumentException($"unexpected argument '{wrong}'");
        }

        if (parts.Length > 1 && parts.FirstOrDefault(part => part is "quality" or "quality-fixtures" or "lora" or "lora-longer" or "zigzag-quality" or "heavy-thinking") is { } alone)
        {
            throw new ArgumentException($"--only {alone} stands alone: it has tables of its own");
        }

        return rest.Length % 2 == 1 ? throw new ArgumentException($"--only expects one of {string.Join(", ", [.. General, .. Named])}")
            : save && (quick || (parts.Length > 0 && (parts.Length > 1 || !Named.Contains(parts[0]))))
                ? throw new ArgumentException($"--save keeps whole runs, or one of {string.Join(", ", Named)}: leave out --quick and any other --only")
            : new BenchmarkOptions(quick, save, parts.Length > 0 ? parts : General);
    }
}
