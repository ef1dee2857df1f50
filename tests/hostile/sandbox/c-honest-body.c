/* c-honest-body - the rest of the function */
// task: C/16
// expect: pass
if (*a <= *b)
    return false;
long x = *a;
*a = *b;
*b = x;
return true;
}
