namespace LongCat.ML.Training.Corpus;

/// <summary>What a documented member is. XML documentation does not tell classes from structs or interfaces: all are <see cref="Type"/>.</summary>
public enum ApiMemberKind
{
    /// <summary>A class, struct, interface, enum or delegate.</summary>
    Type,

    /// <summary>A constructor.</summary>
    Constructor,

    /// <summary>A method.</summary>
    Method,

    /// <summary>An operator or a conversion.</summary>
    Operator,

    /// <summary>A property.</summary>
    Property,

    /// <summary>A property with parameters.</summary>
    Indexer,

    /// <summary>A field or an enum value.</summary>
    Field,

    /// <summary>An event.</summary>
    Event,
}
