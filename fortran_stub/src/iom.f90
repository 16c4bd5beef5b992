!> NetCDF output. Fields are gathered on rank 0, which writes one file for the whole grid; every rank makes the same calls.
module iom
   use, intrinsic :: iso_c_binding, only: c_int, c_char, c_null_char
   use netcdf, only: nf90_create, nf90_def_dim, nf90_def_var, nf90_put_att, nf90_enddef, nf90_put_var, nf90_close, nf90_sync, &
   &  nf90_strerror, NF90_NETCDF4, NF90_CLASSIC_MODEL, NF90_CLOBBER, NF90_UNLIMITED, NF90_DOUBLE, NF90_FLOAT, NF90_GLOBAL, &
   &  NF90_NOERR
   use par_kind, only: wp, dp
   use par_oce, only: Ni0glo, Nj0glo, jpk
   use dom_oce, only: glamt, glamu, glamv, glamf, gphit, gphiu, gphiv, gphif, e3t_0
   use daymod, only: calendar_name
   use lib_mpp, only: mpp_gather, mpprank, ctl_stop
   use in_out_manager, only: lc, nn_date0, cn_exp
   implicit none
   private
   public :: iom_create, iom_def, iom_att, iom_enddef, iom_rec, iom_put, iom_put2d, iom_close, iom_rename, iom_check

   integer, parameter :: jpmaxvar = 64
   real(wp), parameter, public :: rfill = 1.e20_wp   !< value on land

   !> An output file that is being written.
   type, public :: t_iom
      character(len=lc) :: path = ' '
      integer :: ncid = -1, nrec = 0, nvar = 0, ntype = NF90_FLOAT
      logical :: ltime = .false., lbounds = .false., lopen = .false.
      integer :: idx = -1, idy = -1, idz = -1, idt = -1, idb = -1, ivt = -1, ivb = -1, ivz = -1
      integer :: ivcoord(2, 4) = -1
      character(len=24) :: name(jpmaxvar) = ' '
      integer :: id(jpmaxvar) = -1
   end type t_iom

   real(wp), allocatable, public :: zglo(:, :)       !< a field of the whole grid, on rank 0

   interface
      integer(c_int) function c_rename(cdold, cdnew) bind(c, name='rename')
         import :: c_int, c_char
         implicit none
         character(kind=c_char), intent(in) :: cdold(*), cdnew(*)
      end function c_rename
   end interface

contains

   !> Create a file with its dimensions and coordinates.
   subroutine iom_create(file, cdpath, cdtitle, ldtime, ldbounds, lddouble)
      type(t_iom), intent(out) :: file
      character(len=*), intent(in) :: cdpath, cdtitle
      logical, intent(in) :: ldtime      !< records along time_counter
      logical, intent(in) :: ldbounds    !< with bounds, for means
      logical, intent(in) :: lddouble    !< 64-bit fields
      character(len=1), parameter :: cl_pt(4) = ['t', 'u', 'v', 'f']
      character(len=64) :: cl
      integer :: jp

      file%path = cdpath
      file%ltime = ldtime
      file%lbounds = ldbounds
      file%lopen = .true.
      if (lddouble) file%ntype = NF90_DOUBLE
      if (.not. allocated(zglo)) then
         if (mpprank == 0) then
            allocate (zglo(Ni0glo, Nj0glo))
         else
            allocate (zglo(1, 1))
         end if
      end if
      if (mpprank /= 0) return
      call iom_check(nf90_create(cdpath, ior(NF90_CLOBBER, ior(NF90_NETCDF4, NF90_CLASSIC_MODEL)), file%ncid), 'create', cdpath)
      call iom_check(nf90_def_dim(file%ncid, 'x', Ni0glo, file%idx), 'define x in', cdpath)
      call iom_check(nf90_def_dim(file%ncid, 'y', Nj0glo, file%idy), 'define y in', cdpath)
      call iom_check(nf90_def_dim(file%ncid, 'deptht', jpk, file%idz), 'define deptht in', cdpath)
      call iom_att(file, NF90_GLOBAL, 'title', cdtitle)
      call iom_att(file, NF90_GLOBAL, 'experiment', cn_exp)
      call iom_att(file, NF90_GLOBAL, 'Conventions', 'CF-1.8')
      call iom_check(nf90_def_var(file%ncid, 'deptht', NF90_DOUBLE, [file%idz], file%ivz), 'define deptht in', cdpath)
      call iom_att(file, file%ivz, 'long_name', 'depth of the middle of the layer at rest')
      call iom_att(file, file%ivz, 'units', 'm')
      call iom_att(file, file%ivz, 'positive', 'down')
      do jp = 1, 4
         cl = merge('  ', '_'//cl_pt(jp), jp == 1)
         call iom_check(nf90_def_var(file%ncid, 'nav_lon'//trim(cl), NF90_DOUBLE, [file%idx, file%idy], file%ivcoord(1, jp)), &
         &              'define nav_lon in', cdpath)
         call iom_att(file, file%ivcoord(1, jp), 'long_name', 'distance from the western wall, '//cl_pt(jp)//' point')
         call iom_att(file, file%ivcoord(1, jp), 'units', 'km')
         call iom_check(nf90_def_var(file%ncid, 'nav_lat'//trim(cl), NF90_DOUBLE, [file%idx, file%idy], file%ivcoord(2, jp)), &
         &              'define nav_lat in', cdpath)
         call iom_att(file, file%ivcoord(2, jp), 'long_name', 'distance from the southern wall, '//cl_pt(jp)//' point')
         call iom_att(file, file%ivcoord(2, jp), 'units', 'km')
      end do
      if (ldtime) then
         call iom_check(nf90_def_dim(file%ncid, 'time_counter', NF90_UNLIMITED, file%idt), 'define time_counter in', cdpath)
         call iom_check(nf90_def_var(file%ncid, 'time_counter', NF90_DOUBLE, [file%idt], file%ivt), &
         &  'define time_counter in', cdpath)
         write (cl, '(a,i4.4,2(a,i2.2),a)') 'seconds since ', nn_date0/10000, '-', mod(nn_date0/100, 100), '-', &
         &  mod(nn_date0, 100), &
         &  ' 00:00:00'
         call iom_att(file, file%ivt, 'standard_name', 'time')
         call iom_att(file, file%ivt, 'units', trim(cl))
         call iom_att(file, file%ivt, 'calendar', calendar_name())
         if (ldbounds) then
            call iom_check(nf90_def_dim(file%ncid, 'axis_nbounds', 2, file%idb), 'define axis_nbounds in', cdpath)
            call iom_check(nf90_def_var(file%ncid, 'time_counter_bounds', NF90_DOUBLE, [file%idb, file%idt], file%ivb), &
            &              'define time_counter_bounds in', cdpath)
            call iom_att(file, file%ivt, 'bounds', 'time_counter_bounds')
         end if
      end if
   end subroutine iom_create

   !> Define a field.
   subroutine iom_def(file, cdname, cdpoint, ld3d, cdstd, cdlong, cdunits, cdmethods)
      type(t_iom), intent(inout) :: file
      character(len=*), intent(in) :: cdname
      character(len=1), intent(in) :: cdpoint                    !< T, U, V or F
      logical, intent(in) :: ld3d                                !< with layers
      character(len=*), intent(in) :: cdstd, cdlong, cdunits     !< cdstd: CF standard name, or blank
      character(len=*), intent(in) :: cdmethods                  !< CF cell_methods of time, or blank
      integer :: idims(4), in

      file%nvar = file%nvar + 1
      file%name(file%nvar) = cdname
      if (mpprank /= 0) return
      in = 2
      idims = [file%idx, file%idy, file%idz, file%idt]
      if (ld3d) in = 3
      if (file%ltime) then
         in = in + 1
         idims(in) = file%idt
      end if
      call iom_check(nf90_def_var(file%ncid, cdname, file%ntype, idims(:in), file%id(file%nvar)), 'define '//cdname//' in', &
      &  file%path)
      if (cdstd /= ' ') call iom_att(file, file%id(file%nvar), 'standard_name', cdstd)
      call iom_att(file, file%id(file%nvar), 'long_name', cdlong)
      call iom_att(file, file%id(file%nvar), 'units', cdunits)
      if (cdmethods /= ' ') call iom_att(file, file%id(file%nvar), 'cell_methods', cdmethods)
      select case (cdpoint)
      case ('T')
         call iom_att(file, file%id(file%nvar), 'coordinates', 'nav_lat nav_lon')
      case ('U')
         call iom_att(file, file%id(file%nvar), 'coordinates', 'nav_lat_u nav_lon_u')
      case ('V')
         call iom_att(file, file%id(file%nvar), 'coordinates', 'nav_lat_v nav_lon_v')
      case default
         call iom_att(file, file%id(file%nvar), 'coordinates', 'nav_lat_f nav_lon_f')
      end select
      if (cdpoint == 'T' .and. file%ltime) then
         if (file%ntype == NF90_DOUBLE) then
            call iom_check(nf90_put_att(file%ncid, file%id(file%nvar), '_FillValue', real(rfill, dp)), &
            &  'define '//cdname//' in', file%path)
         else
            call iom_check(nf90_put_att(file%ncid, file%id(file%nvar), '_FillValue', real(rfill)), 'define '//cdname//' in', &
            &  file%path)
         end if
      end if
   end subroutine iom_def

   !> Add a text attribute; rank 0 only does something.
   subroutine iom_att(file, kvar, cdname, cdtext)
      type(t_iom), intent(in) :: file
      integer, intent(in) :: kvar   !< id of a variable, or NF90_GLOBAL
      character(len=*), intent(in) :: cdname, cdtext
      if (mpprank == 0) call iom_check(nf90_put_att(file%ncid, kvar, cdname, trim(cdtext)), 'add '//cdname//' to', file%path)
   end subroutine iom_att

   !> End the definitions and write the coordinates.
   subroutine iom_enddef(file)
      type(t_iom), intent(in) :: file
      integer :: jk
      if (mpprank == 0) then
         call iom_check(nf90_enddef(file%ncid), 'define', file%path)
         call iom_check(nf90_put_var(file%ncid, file%ivz, [(real(sum(e3t_0(:jk)), dp) - 0.5_dp*real(e3t_0(jk), dp), jk=1, &
         &  jpk)]), &
         &              'write deptht to', file%path)
      end if
      call coord(file, file%ivcoord(:, 1), glamt, gphit)
      call coord(file, file%ivcoord(:, 2), glamu, gphiu)
      call coord(file, file%ivcoord(:, 3), glamv, gphiv)
      call coord(file, file%ivcoord(:, 4), glamf, gphif)
   end subroutine iom_enddef

   subroutine coord(file, kvar, plam, pphi)
      type(t_iom), intent(in) :: file
      integer, intent(in) :: kvar(2)
      real(wp), intent(in) :: plam(:, :), pphi(:, :)
      call mpp_gather(plam, zglo)
      if (mpprank == 0) call iom_check(nf90_put_var(file%ncid, kvar(1), zglo), 'write nav_lon to', file%path)
      call mpp_gather(pphi, zglo)
      if (mpprank == 0) call iom_check(nf90_put_var(file%ncid, kvar(2), zglo), 'write nav_lat to', file%path)
   end subroutine coord

   !> Begin a record.
   subroutine iom_rec(file, ptime, pbounds)
      type(t_iom), intent(inout) :: file
      real(dp), intent(in) :: ptime                   !< seconds since nn_date0
      real(dp), optional, intent(in) :: pbounds(2)
      file%nrec = file%nrec + 1
      if (mpprank /= 0) return
      call iom_check(nf90_put_var(file%ncid, file%ivt, [ptime], start=[file%nrec]), 'write time_counter to', file%path)
      if (present(pbounds)) call iom_check(nf90_put_var(file%ncid, file%ivb, pbounds, start=[1, file%nrec], count=[2, 1]), &
      &  'write time_counter_bounds to', file%path)
   end subroutine iom_rec

   !> Write a field with layers to the present record; fields that the file does not have are passed over.
   subroutine iom_put(file, cdname, ptab, pmask)
      type(t_iom), intent(in) :: file
      character(len=*), intent(in) :: cdname
      real(wp), intent(in) :: ptab(:, :, :)              !< (jpi, jpj, jpk)
      real(wp), optional, intent(in) :: pmask(:, :, :)   !< where it is 0, the fill value is written
      integer :: ivar, jk
      ivar = findloc(file%name(:file%nvar), cdname, dim=1)
      if (ivar == 0) return
      do jk = 1, size(ptab, 3)
         if (present(pmask)) then
            call mpp_gather(merge(ptab(:, :, jk), rfill, pmask(:, :, jk) > 0._wp), zglo)
         else
            call mpp_gather(ptab(:, :, jk), zglo)
         end if
         if (mpprank /= 0) cycle
         call iom_check(nf90_put_var(file%ncid, file%id(ivar), zglo, start=[1, 1, jk, max(file%nrec, 1)], &
         &  count=[Ni0glo, Nj0glo, 1, 1]), 'write '//cdname//' to', file%path)
      end do
   end subroutine iom_put

   !> Write a field without layers.
   subroutine iom_put2d(file, cdname, ptab, pmask)
      type(t_iom), intent(in) :: file
      character(len=*), intent(in) :: cdname
      real(wp), intent(in) :: ptab(:, :)              !< (jpi, jpj)
      real(wp), optional, intent(in) :: pmask(:, :)   !< where it is 0, the fill value is written
      integer :: ivar
      ivar = findloc(file%name(:file%nvar), cdname, dim=1)
      if (ivar == 0) return
      if (present(pmask)) then
         call mpp_gather(merge(ptab, rfill, pmask > 0._wp), zglo)
      else
         call mpp_gather(ptab, zglo)
      end if
      if (mpprank == 0) call iom_check(nf90_put_var(file%ncid, file%id(ivar), zglo, start=[1, 1, max(file%nrec, 1)], &
      &  count=[Ni0glo, Nj0glo, 1]), 'write '//cdname//' to', file%path)
   end subroutine iom_put2d

   !> Bring what was written to the disk (ldend: and close; a file that is called NAME.part gets its NAME then).
   subroutine iom_close(file, ldend)
      type(t_iom), intent(inout) :: file
      logical, intent(in) :: ldend
      integer :: ipart
      if (.not. file%lopen) return
      if (mpprank == 0) then
         if (ldend) then
            call iom_check(nf90_close(file%ncid), 'close', file%path)
         else
            call iom_check(nf90_sync(file%ncid), 'write', file%path)
         end if
      end if
      if (.not. ldend) return
      file%lopen = .false.
      ipart = index(file%path, '.part', back=.true.)
      if (ipart > 0 .and. ipart + 4 == len_trim(file%path)) call iom_rename(file%path, file%path(:ipart - 1))
   end subroutine iom_close

   !> Rename a file, on rank 0.
   subroutine iom_rename(cdold, cdnew)
      character(len=*), intent(in) :: cdold, cdnew
      if (mpprank /= 0) return
      if (c_rename(trim(cdold)//c_null_char, trim(cdnew)//c_null_char) /= 0_c_int) &
      &  call ctl_stop("file '"//trim(cdold)//"' cannot be renamed to '"//trim(cdnew)//"'.")
   end subroutine iom_rename

   !> Stop in words when a NetCDF call failed.
   subroutine iom_check(kstat, cdwhat, cdpath)
      integer, intent(in) :: kstat
      character(len=*), intent(in) :: cdwhat, cdpath   !< what was tried, on which file
      if (kstat /= NF90_NOERR) &
      &  call ctl_stop("could not "//cdwhat//" file '"//trim(cdpath)//"': "//trim(nf90_strerror(kstat))//'.', &
      &  'Is the disk full, or the directory not writable?')
   end subroutine iom_check
end module iom
