namespace LongCat.ML.Benchmarks;

/// <summary>The command line.</summary>
internal sealed record BenchmarkOptions(bool Quick, bool Save, IReadOnlyList<string> Parts)
{
    public const string Usage = """
        usage: ./run bench [--quick] [--only engine|matmul|ngram|mlnet|start] [--save]

          --quick   small models and few repetitions: shows that everything runs, the figures mean little
          --only    one part; may be repeated
          --save    write results/<cpu>-<cores>.json and .md, refused on a busy machine and with --quick or --only
        """;

    private static readonly string[] AllParts = ["engine", "matmul", "ngram", "mlnet", "start"];

    /// <summary>Timed repetitions of a case.</summary>
    public int Repetitions => Quick ? 2 : 5;

    /// <summary>Timed repetitions of a case that may take minutes.</summary>
    public int RepetitionsOf(bool slow) => slow ? Math.Min(Repetitions, 2) : Repetitions;

    /// <exception cref="ArgumentException">The message says what is wrong.</exception>
    public static BenchmarkOptions Parse(string[] args)
    {
        bool quick = args.Contains("--quick"), save = args.Contains("--save");
        string[] rest = [.. args.Where(arg => arg is not ("--quick" or "--save"))], parts = [.. rest.Where((_, i) => i % 2 == 1)];
        if (rest.Where((arg, i) => i % 2 == 0 ? arg != "--only" : !AllParts.Contains(arg)).FirstOrDefault() is { } wrong)
        {
            throw new ArgumentException($"unexpected argument '{wrong}'");
        }

        return rest.Length % 2 == 1 ? throw new ArgumentException($"--only expects one of {string.Join(", ", AllParts)}")
            : save && (quick || parts.Length > 0) ? throw new ArgumentException("--save keeps whole runs only: leave out --quick and --only")
            : new BenchmarkOptions(quick, save, parts.Length > 0 ? parts : AllParts);
    }
}
